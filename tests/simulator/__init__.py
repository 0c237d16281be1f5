"""A Kafka cluster in memory that goes wrong in every way it can, deterministically by a seed."""
