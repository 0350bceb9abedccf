"""A real Apache Kafka (KRaft) on a JVM, without containers: for a laptop, tests and benchmarks.

`Cluster` runs one broker or three and can kill, freeze and restart each. This room knows nothing of
the engine; it only fetches brokers, starts them and sees to it that none outlives its parent.
"""
