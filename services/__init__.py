"""The five services, each in its own folder; none imports another."""
