"""Two tables of the tests' own: the chassis has none."""
