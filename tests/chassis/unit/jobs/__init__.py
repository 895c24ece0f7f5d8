"""Background jobs on each database."""
