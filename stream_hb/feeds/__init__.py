"""What is worth a record: emission, estimate records."""
