"""The Kafka body of the log port: the only package that imports `kafka`."""
