"""Wires the feature `chat`: rooms over Socket.IO, and their messages over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..chassis import Feature, Parts, Restart, Task
from ..config.chat import HARDENED_DEFAULTS, ChatSettings

if TYPE_CHECKING:
    from ..chassis import Core

PAGE = Path(__file__).parents[1] / "pages" / "chat.html"


def build(core: Core) -> Parts:
    """Build the objects of the feature, bottom up; nothing is opened yet."""
    from ..chassis.access import AUTHENTICATED, PUBLIC, Identities
    from ..chassis.chat import PAGE_ASSETS, Chat, ChatLimits
    from ..chassis.http import web_page
    from ..controllers.chat import ChatController
    from ..models.chat import MessageType
    from ..routes.chat import chat_routes
    from ..services.chat import ChatRooms

    settings, server = core.settings.group(ChatSettings), core.settings.server
    redis_url = core.settings.redis.url
    # Another process may get the next poll of a client, and would not know its session.
    polling = settings.polling or redis_url is None
    rooms, identities = ChatRooms(core.database), core.find(Identities)
    chat = Chat(
        rooms,
        limits=ChatLimits(
            message_bytes=settings.max_message_bytes,
            messages_per_second=settings.messages_per_second,
            events_per_second=settings.events_per_second,
            rooms_per_user=settings.max_rooms,
            connections_per_user=settings.max_connections_per_user,
            connections=settings.max_connections,
            waiting_bytes=settings.max_waiting_bytes,
            packet_bytes=server.websocket_max_bytes,
        ),
        problems=core.problems,
        lifecycle=core.lifecycle,
        metrics=core.metrics,
        identities=identities,
        redis_url=redis_url,
        channel=f"{core.service.name}:{server.app_env}:chat",
        origins=server.cors_origins,
        polling=polling,
        request_seconds=server.request_timeout_seconds,
        drain_seconds=server.drain_delay_seconds,
        message_kinds=list(MessageType),
        on_failure=lambda error: core.reporter.report(error, where="event"),
    )
    readers = PUBLIC if identities is None else AUTHENTICATED
    page = web_page("/chat", PAGE, assets=PAGE_ASSETS, name="chat", summary="Talk in a browser", tags=["chat"])
    return Parts(
        routes=[
            *chat_routes(ChatController(rooms), chat, readers=readers),
            *(page if settings.page_enabled else ()),
        ],
        tasks={name: Task(work, restart=Restart()) for name, work in chat.tasks().items()},
        lifespan={"chat": chat.opened},
    )


CHAT = Feature(name="chat", build=build, settings=(ChatSettings,), hardened_defaults=HARDENED_DEFAULTS)
