"""Mechanism of an assistant: completions of a provider, bounded in time, tokens and number, whole or token by token.

A name is imported when it is asked for, so that the tables load no more than they need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .assistant import Assistant, AssistantLimits
    from .echo import EchoProvider
    from .endpoints import PAGE_ASSETS, AssistantController
    from .openai_provider import OpenAIProvider
    from .provider import FailureKind, Message, Provider, ProviderFailed, Usage
    from .settings import ProviderKey, ProviderUrl
    from .tables import AssistantTables, ConversationColumns, ConversationMessageColumns, TokenBudgetColumns

_MODULES = {
    "assistant": ("Assistant", "AssistantLimits"),
    "echo": ("EchoProvider",),
    "endpoints": ("PAGE_ASSETS", "AssistantController"),
    "openai_provider": ("OpenAIProvider",),
    "provider": ("FailureKind", "Message", "Provider", "ProviderFailed", "Usage"),
    "settings": ("ProviderKey", "ProviderUrl"),
    "tables": ("AssistantTables", "ConversationColumns", "ConversationMessageColumns", "TokenBudgetColumns"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "PAGE_ASSETS",
    "Assistant",
    "AssistantController",
    "AssistantLimits",
    "AssistantTables",
    "ConversationColumns",
    "ConversationMessageColumns",
    "EchoProvider",
    "FailureKind",
    "Message",
    "OpenAIProvider",
    "Provider",
    "ProviderFailed",
    "ProviderKey",
    "ProviderUrl",
    "TokenBudgetColumns",
    "Usage",
]


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the module's docstring says

    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value
