"""The features of this service: this list, and one module for each that wires it."""

from __future__ import annotations

from ..chassis import Feature
# {% if cookiecutter.ai_chat == 'yes' %}
from .ai_chat import AI_CHAT
# {% endif %}
# {% if cookiecutter.auth == 'yes' %}
from .auth import AUTH
# {% endif %}
# {% if cookiecutter.chat == 'yes' %}
from .chat import CHAT
# {% endif %}
# {% if cookiecutter.csv_import == 'yes' %}
from .csv_import import CSV_IMPORT
from .jobs import JOBS
# {% endif %}

FEATURES: tuple[Feature, ...] = (
    # In the order in which they start; they close the other way round.
    # {% if cookiecutter.auth == 'yes' %}
    AUTH,
    # {% endif %}
    # {% if cookiecutter.ai_chat == 'yes' %}
    AI_CHAT,
    # {% endif %}
    # {% if cookiecutter.chat == 'yes' %}
    CHAT,
    # {% endif %}
    # {% if cookiecutter.csv_import == 'yes' %}
    JOBS,
    CSV_IMPORT,
    # {% endif %}
)
