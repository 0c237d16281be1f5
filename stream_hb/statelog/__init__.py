"""The state of a shard as a log: what each transaction changes, packed; see README.md."""
