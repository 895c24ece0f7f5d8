"""Decisions and effects. Nothing here knows HTTP: a rejection is an error of `errors.py`, a result is a model."""
