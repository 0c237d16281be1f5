"""A running processor around the engine: Kafka worker, embedded broker, file replay."""
