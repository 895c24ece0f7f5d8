"""Settings of the feature `chat`: how much a client may send and hold, and over what."""

from __future__ import annotations

from pydantic import Field

from ..chassis.settings import SettingsGroup

HARDENED_DEFAULTS = {"CHAT_PAGE_ENABLED": "false"}
"""In staging and production."""


class ChatSettings(SettingsGroup):
    """Realtime rooms."""

    polling: bool = Field(
        default=False,
        validation_alias="CHAT_POLLING",
        description="Whether clients may use long polling where REDIS_URL is set, and so several processes may serve "
        "them: the balancer then has to send each client to the same process every time. Without REDIS_URL they may.",
    )
    max_message_bytes: int = Field(
        default=4096,
        ge=1,
        le=65_536,
        validation_alias="CHAT_MAX_MESSAGE_BYTES",
        description="Largest text of a message, in UTF-8; a larger one is refused.",
    )
    messages_per_second: float = Field(
        default=10.0,
        gt=0,
        le=10_000,
        validation_alias="CHAT_MESSAGES_PER_SECOND",
        description="How many messages one user may send in a second; more are refused.",
    )
    events_per_second: float = Field(
        default=50.0,
        ge=1,
        le=100_000,
        validation_alias="CHAT_EVENTS_PER_SECOND",
        description="How many events of one connection are read in a second; more wait at the client.",
    )
    max_rooms: int = Field(
        default=50,
        ge=1,
        le=10_000,
        validation_alias="CHAT_MAX_ROOMS",
        description="How many rooms one user may be in at a time, in one process.",
    )
    max_connections: int = Field(
        default=4000,
        ge=1,
        le=1_000_000,
        validation_alias="CHAT_MAX_CONNECTIONS",
        description="How many chat connections one process takes; MAX_STREAMS has to be larger.",
    )
    max_connections_per_user: int = Field(
        default=10,
        ge=1,
        le=10_000,
        validation_alias="CHAT_MAX_CONNECTIONS_PER_USER",
        description="How many connections one user may have at a time, in one process.",
    )
    max_waiting_bytes: int = Field(
        default=262_144,
        ge=16_384,
        le=16_777_216,
        validation_alias="CHAT_MAX_WAITING_BYTES",
        description="How much may wait for a client that does not read; with more it is disconnected.",
    )
    page_enabled: bool = Field(
        default=True,
        validation_alias="CHAT_PAGE_ENABLED",
        description="Whether /chat shows a page to talk on; anyone may load it.",
    )
