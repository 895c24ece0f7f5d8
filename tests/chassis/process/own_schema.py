"""A service whose models and revisions are in the folder that it is started in, for tests that change them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from .. import sample

sys.path.insert(0, str(Path.cwd()))
SERVICE = replace(sample.SERVICE, models="models", versions=Path("versions").absolute())
