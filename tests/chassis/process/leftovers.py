"""A service whose requests and websockets leave failing work behind, and whose tasks fail as the environment wishes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from acme_service.chassis import Core, Feature, Parts, Restart, Task
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.http import ApiRoute, allow, describe, websocket
from acme_service.chassis.threads import ChassisThread

from .. import sample

kept: list[object] = []


async def fail() -> None:
    raise ValueError("left behind")


async def leave_the_loop() -> None:
    sys.exit("left behind")


def fail_at_once() -> None:
    raise ValueError("left behind")


class Broken:
    def __del__(self) -> None:
        raise ValueError("left behind")


def end_thread(thread: threading.Thread) -> None:
    thread.start()
    thread.join()


def leave(core: Core) -> dict[str, Callable[[], object]]:
    """What a request can leave behind, by its path."""
    loop = asyncio.get_running_loop
    return {
        "task": lambda: loop().create_task(fail()),
        "kept": lambda: kept.append(loop().create_task(fail())),
        "exit": lambda: loop().create_task(leave_the_loop()),
        "callback": lambda: loop().call_soon(fail_at_once),
        "exit-callback": lambda: loop().call_later(0.01, sys.exit, 4),
        "supervised": lambda: core.tasks.start("left behind", fail()),
        "critical": lambda: core.tasks.start("left behind", fail(), critical=True),
        "thread": lambda: end_thread(threading.Thread(target=fail_at_once)),
        "exit-thread": lambda: end_thread(threading.Thread(target=sys.exit)),
        "finaliser": Broken,
        "chassis-thread": lambda: end_thread(ChassisThread(target=fail_at_once, name="of-the-test")),
    }


async def fail_soon() -> None:
    await asyncio.sleep(0.2)
    raise ValueError("the disk is gone")


async def end_soon() -> None:
    await asyncio.sleep(0)


TASKS: dict[str, Task | Callable[[], object]] = {
    "critical": fail_soon,
    "optional": Task(fail_soon, critical=False),
    "restarted": Task(fail_soon, restart=Restart(first_seconds=0.05, most_seconds=0.1)),
    "short": end_soon,
}


def build(core: Core) -> Parts:
    @describe(summary="Leave something", description="Leave something.", responses={204: None}, tags=["test"])
    async def handler(request: Request) -> Response:
        leave(core)[request.path_params["what"]]()
        return Response(status_code=204)

    async def messages(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            leave(core)[text]()
            await socket.send_text(text)

    wished = os.environ.get("TASK", "")
    return Parts(
        routes=[
            ApiRoute("/leave/{what}", {"POST": allow(PUBLIC, handler)}, name="leave"),
            websocket("/leave", messages, policy=PUBLIC, name="leave-messages"),
        ],
        tasks={wished: TASKS[wished]} if wished else {},  # type: ignore[dict-item] # a lambda's result is an object
    )


SERVICE = replace(sample.SERVICE, features=(*sample.SERVICE.features, Feature(name="leftovers", build=build)))
