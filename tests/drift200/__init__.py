"""DRIFT-200: a chain with promotions, weekdays, a random walk, and stores that drift."""
