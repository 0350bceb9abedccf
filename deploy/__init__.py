"""What surrounds the services where they run: sandbox, containers, dashboards."""
