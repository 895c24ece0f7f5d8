"""Fixtures for every test; each file of them says what it gives."""

pytest_plugins = ["tests.databases", "tests.redis_server"]
