"""Run by Alembic; everything it needs is handed over by `runner.py`, which also holds the connection."""

from __future__ import annotations

from alembic import context

context.configure(**context.config.attributes["configure"])
with context.begin_transaction():
    context.run_migrations()
