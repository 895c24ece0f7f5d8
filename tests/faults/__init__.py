"""What the service promises when something breaks, tried on a running render: `make faults`.

It runs in the environment of a render, and starts that render's own service as an operator does.
"""

import sys
from pathlib import Path

import acme_service

# The render's root: its tests bring the servers, as they do for the tests of the chassis.
sys.path.append(str(Path(acme_service.__file__).parents[2]))
