"""Fixtures for every test; each file of them says what it gives."""

from importlib.util import find_spec

pytest_plugins = ["chassis.databases", "chassis.redis_server"]
collect_ignore = ["open", *([] if find_spec("acme_service.chassis.auth") else ["unit/auth"])]
"""What runs in an environment with more packages, and the mechanism of a feature that the render does not have."""
