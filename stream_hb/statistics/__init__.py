"""Running sufficient statistics: commutative monoids in columns, one row per group."""
