"""The users of the render and the assistant, open to everyone."""

from __future__ import annotations

from dataclasses import replace

from acme_service.features.ai_chat import AI_CHAT

from .. import sample

SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, AI_CHAT))
