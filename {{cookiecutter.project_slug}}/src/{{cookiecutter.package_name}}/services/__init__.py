"""Decisions and effects. Nothing here knows HTTP: a refusal is an error of `errors.py`, a result is a model."""
