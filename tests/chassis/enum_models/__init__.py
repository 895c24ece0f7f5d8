"""A table with enumerations, for which a test writes the revisions."""
