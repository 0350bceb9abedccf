"""What a container image is made of, and the one program that runs in it beside the services."""
