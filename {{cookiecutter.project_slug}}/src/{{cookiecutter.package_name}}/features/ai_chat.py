"""Wires the feature `ai_chat`: an assistant over HTTP, whole or token by token, and a page to ask it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..chassis import Feature, Parts
from ..config.ai_chat import HARDENED_DEFAULTS, AiSettings

if TYPE_CHECKING:
    from ..chassis import Core
    from ..chassis.ai_chat import Provider

PAGE = Path(__file__).parents[1] / "pages" / "ai_chat.html"


def build(core: Core) -> Parts:
    """Build the objects of the feature, bottom up; nothing is opened yet."""
    from ..chassis.access import AUTHENTICATED, PUBLIC, Identities
    from ..chassis.ai_chat import PAGE_ASSETS, Assistant, AssistantController, AssistantLimits, AssistantTables
    from ..chassis.http import web_page
    from ..models.ai_chat import Conversation, ConversationMessage, TokenBudget
    from ..routes.ai_chat import assistant_routes
    from ..services.ai_chat import instructions

    settings = core.settings.group(AiSettings)
    provider = new_provider(settings)
    assistant = Assistant(
        core,
        provider,
        AssistantTables(conversations=Conversation, messages=ConversationMessage, budgets=TokenBudget),
        limits=AssistantLimits(
            first_token_seconds=settings.first_token_seconds,
            token_seconds=settings.token_seconds,
            total_seconds=settings.total_seconds,
            attempts=settings.attempts,
            input_tokens=settings.input_tokens,
            output_tokens=settings.output_tokens,
            completions=settings.max_completions,
            completions_per_user=settings.max_completions_per_user,
            daily_tokens=settings.daily_tokens,
            messages=settings.max_messages,
            keep_days=settings.keep_days,
        ),
        instructions=instructions,
        logs_content=settings.log_content,
    )
    users = PUBLIC if core.find(Identities) is None else AUTHENTICATED
    summary = "Ask the assistant in a browser"
    page = web_page("/assistant", PAGE, assets=PAGE_ASSETS, name="ai_chat", summary=summary, tags=["assistant"])
    return Parts(
        routes=[
            *assistant_routes(AssistantController(core, assistant), users=users),
            *(page if settings.page_enabled else ()),
        ],
        tasks={"conversations": core.tasks.every(3600, assistant.tidy)},
        renewals=[provider.renew],
        lifespan={"assistant": assistant.opened},
    )


def new_provider(settings: AiSettings) -> Provider:
    """What responds: the model, or without a key an echo."""
    from ..chassis.ai_chat import EchoProvider, OpenAIProvider

    if settings.api_key is None:
        return EchoProvider()
    key = settings.api_key.get_secret_value()
    return OpenAIProvider(base_url=settings.base_url, api_key=key, model=settings.model)


AI_CHAT = Feature(name="ai_chat", build=build, settings=(AiSettings,), hardened_defaults=HARDENED_DEFAULTS)
