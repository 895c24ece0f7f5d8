"""Paths of the feature `ai_chat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..chassis.http import ApiRoute, allow

if TYPE_CHECKING:
    from ..chassis.access import Policy
    from ..chassis.ai_chat import AssistantController


def assistant_routes(controller: AssistantController, *, users: Policy) -> list[ApiRoute]:
    """The assistant, for *users*; a completion has limits of time of its own."""
    conversation = {"GET": allow(users, controller.conversation), "DELETE": allow(users, controller.delete)}
    return [
        ApiRoute("/api/ai/chat", {"POST": allow(users, controller.complete, untimed=True)}, name="ai_chat"),
        ApiRoute("/api/ai/conversations/{conversation_id}", conversation, name="ai_chat.conversation"),
    ]
