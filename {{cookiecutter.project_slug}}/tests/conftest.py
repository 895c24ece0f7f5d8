"""The fixtures of every test: clean databases, clients of the application, and the service as a real process."""

from __future__ import annotations

from pathlib import Path

from {{ cookiecutter.package_name }}.features import FEATURES

_FEATURES = [feature.name for feature in FEATURES if (Path(__file__).parent / f"{feature.name}.py").exists()]
"""A feature's fixtures stand in the module of its name; they come last, and so replace those of the same name."""

_ALWAYS = ("databases", "schema", "application", "process", "redis_server")

pytest_plugins = [f"tests.{name}" for name in (*_ALWAYS, *_FEATURES)]
