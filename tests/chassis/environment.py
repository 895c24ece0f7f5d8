"""Settings of the chassis alone, as a service of this name reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from acme_service.chassis.settings import CHASSIS_GROUPS, Settings, SettingsGroup, service_defaults
from acme_service.chassis.settings import load_settings as load


def load_settings(environ: Mapping[str, str], directory: Path, *groups: type[SettingsGroup]) -> Settings:
    """*groups* come on top of the chassis's."""
    return load(environ, directory, [*CHASSIS_GROUPS, *groups], defaults=service_defaults("acme-service"))
