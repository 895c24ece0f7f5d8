"""The users of the render and their imports, open to everyone."""

from __future__ import annotations

from dataclasses import replace

from acme_service.features.csv_import import CSV_IMPORT
from acme_service.features.jobs import JOBS

from .. import sample

SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, JOBS, CSV_IMPORT))
