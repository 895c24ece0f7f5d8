"""Bytes to model, one call of a service, model to bytes. A controller catches nothing."""
