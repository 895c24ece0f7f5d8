"""Fixtures for every test; each file of them says what it gives."""

import sys
from importlib.util import find_spec
from pathlib import Path

import acme_service

# The render's root: what a project's own tests need from a machine is the same here.
sys.path.append(str(Path(acme_service.__file__).parents[2]))

pytest_plugins = ["tests.databases", "chassis.databases", "chassis.pgbouncer_server", "chassis.redis_server"]
pytest_plugins += ["chassis.nats_server"]
FEATURES = ("ai_chat", "auth", "aws_lambda", "chat", "csv_import", "jobs")
CHAT_CLIENTS = ("integration/test_chat_javascript.py", "integration/test_chat_page.py")
collect_ignore = ["open", *(f"unit/{name}" for name in FEATURES if not find_spec(f"acme_service.chassis.{name}"))]
"""What runs in an environment with more packages, and the mechanism of a feature that the render does not have."""
if not find_spec("acme_service.chassis.chat") or sys.version_info >= (3, 12):
    collect_ignore += CHAT_CLIENTS  # a browser and Node see the same from each Python: once is enough
if not find_spec("acme_service.chassis.ai_chat") or sys.version_info >= (3, 12):
    collect_ignore.append("integration/test_ai_chat_page.py")
