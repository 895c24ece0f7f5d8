"""Paths of the feature `csv_import`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.http import ApiRoute, BodyLimits, allow

if TYPE_CHECKING:
    from ..chassis.access import Policy
    from ..chassis.csv_import import ImportsController


def import_routes(controller: ImportsController, *, admins: Policy, max_bytes: int) -> list[ApiRoute]:
    """The imports, all of them for *admins*."""
    limits = BodyLimits(max_bytes=max_bytes)
    upload = allow(admins, controller.upload, limits=limits, upload=True)
    one = {"GET": allow(admins, controller.get), "DELETE": allow(admins, controller.cancel)}
    return [
        ApiRoute("/api/imports", {"POST": upload}, name="imports"),
        ApiRoute("/api/imports/{import_id}", one, name="import"),
        ApiRoute("/api/imports/{import_id}/rejects", {"GET": allow(admins, controller.rejects)}, name="import.rejects"),
        ApiRoute("/api/imports/{import_id}/events", {"GET": allow(admins, controller.events)}, name="import.events"),
    ]
