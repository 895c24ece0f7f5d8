"""Carries the ids of jobs to workers through NATS JetStream; whether a job runs is for its row to say.

The stream may lose or repeat any message: a worker claims the row before it runs anything, rows that no message names
are found by an idle worker, and without the broker the table is polled.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from ..errors import DatabaseUnavailable
from .sources import POLL_SECONDS, Delivery, TableSource, Wakeups

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from .store import JobStore

CONNECT_SECONDS = 3.0
RECONNECT_SECONDS = 1.0
FETCH_SECONDS = 5.0
"""How long an idle worker waits for a message, before it looks for jobs that the broker does not know."""
AGAIN_SECONDS = 5.0
"""When a message comes again whose job this process cannot run."""
WORKERS = "workers"
_FAILURES = (NatsError, OSError, TimeoutError, asyncio.InvalidStateError)

_log = structlog.get_logger("chassis.jobs")


class BrokerLost(Exception):
    """There is no connection, or no response in time."""


class Broker:
    """One connection to the servers in *url*, made again for as long as it takes; *name* is that of the stream."""

    def __init__(self, url: str, name: str, *, ack_wait_seconds: float) -> None:
        self._servers = url.split(",")
        self._name = name
        self._ack_wait_seconds = ack_wait_seconds
        self._stream: JetStreamContext | None = None
        self._inbox: JetStreamContext.PullSubscription | None = None
        self._told = False
        self._reason = ""

    @property
    def connected(self) -> bool:
        return self._inbox is not None

    async def run(self) -> None:
        """Stay connected, for ever; while there is no connection that is logged once."""
        while True:
            client, closed = Client(), asyncio.Event()
            self._reason = "the connection was closed"
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._connect(client, closed)
                    await self._prepare(client)
                _log.info("broker connected", stream=self._name)
                self._told = False
                await closed.wait()
            except _FAILURES as error:
                self._reason = str(error) or self._reason
            finally:
                self._stream = self._inbox = None
                with suppress(*_FAILURES):
                    await client.close()
            if not self._told:
                _log.warning("broker lost, the table of jobs is polled", reason=self._reason)
            self._told = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def publish(self, job_id: str, message_id: str) -> None:
        """Store a message with *job_id*; one with the *message_id* of another is dropped. Raises BrokerLost."""
        if self._stream is None:
            raise BrokerLost
        headers = {"Nats-Msg-Id": message_id}
        await _or_lost(self._stream.publish(self._name, job_id.encode(), headers=headers, timeout=CONNECT_SECONDS))

    async def fetch(self) -> Msg | None:
        """The next message; None if there is none for a while. Raises BrokerLost."""
        if self._inbox is None:
            raise BrokerLost
        try:
            found = await _or_lost(self._inbox.fetch(1, timeout=FETCH_SECONDS))
        except BrokerLost as error:
            if isinstance(error.__cause__, NatsTimeoutError):
                return None
            raise
        return cast("list[Msg]", found)[0]

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        """The client tries a server again for minutes, without a word; its errors are heard of here alone."""

        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            self._reason = str(error) or type(error).__name__

        await client.connect(
            self._servers,
            name=self._name,
            allow_reconnect=False,  # here it is tried for ever, and logged once
            ping_interval=5,
            max_outstanding_pings=2,
            closed_cb=on_closed,
            error_cb=on_error,
        )

    async def _prepare(self, client: Client) -> None:
        """Create what is absent; what is there may have settings of an operator's, which an update would reset."""
        stream = client.jetstream()
        try:
            await stream.stream_info(self._name)
        except NotFoundError:
            config = StreamConfig(name=self._name, subjects=[self._name], retention=RetentionPolicy.WORK_QUEUE)
            await stream.add_stream(config)
        try:
            await stream.consumer_info(self._name, WORKERS)
        except NotFoundError:
            acks: dict[str, Any] = {"ack_policy": AckPolicy.EXPLICIT, "ack_wait": self._ack_wait_seconds}
            await stream.add_consumer(self._name, ConsumerConfig(durable_name=WORKERS, **acks))
        self._inbox = await stream.pull_subscribe_bind(consumer=WORKERS, stream=self._name)
        self._stream = stream


async def relay(store: JobStore, broker: Broker, wakeups: Wakeups) -> None:
    """Publish each job that is due, for ever: at once after a `wake`, else each second.

    Several processes do so at a time: the message's id, of the job and its due time, lets the stream keep one.
    """
    while True:
        with suppress(DatabaseUnavailable, BrokerLost):
            while broker.connected and (due := await store.unpublished()):
                await asyncio.gather(*(broker.publish(job.id, f"{job.id} {job.due_at.isoformat()}") for job in due))
                await store.mark_published(due)
        await wakeups.wait(POLL_SECONDS)


class BrokerSource:
    """Claims what the broker names; when it is silent or lost, what *table* has."""

    def __init__(self, broker: Broker, table: TableSource) -> None:
        self._broker = broker
        self._table = table

    async def next(self) -> Delivery | None:
        try:
            message = await self._broker.fetch()
        except BrokerLost:
            return await self._table.next()
        if message is None:
            claimed = await self._table.claim()
            return None if claimed is None else Delivery(claimed)
        claimed = await self._table.claim(_job_id(message))
        if claimed is not None:
            return MessageDelivery(claimed, message)
        await _told(lambda: self._refuse(message))
        return None

    async def _refuse(self, message: Msg) -> None:
        """Give back a message whose job another process can run, and remove one whose job needs no run."""
        if await self._table.is_due(_job_id(message)):
            await message.nak(delay=AGAIN_SECONDS)
        else:
            await message.ack()


def _job_id(message: Msg) -> str:
    """What it names; a message of another sender may hold anything, also what no query may hold."""
    return message.data.decode("ascii", "replace").replace("\x00", "")


class MessageDelivery(Delivery):
    """A job that a message named; the message lives as long as the lease."""

    def __init__(self, claimed: Any, message: Msg) -> None:
        super().__init__(claimed)
        self._message = message

    async def in_progress(self) -> None:
        await _told(self._message.in_progress)

    async def settled(self) -> None:
        await _told(self._message.ack)


async def _told(tell: Callable[[], Awaitable[None]]) -> None:
    """Tell the broker; if it is lost, the message comes again, and its job is seen to have ended."""
    with suppress(BrokerLost):
        await _or_lost(tell())


async def _or_lost(reply: Awaitable[Any]) -> Any:
    """The *reply*, or BrokerLost; a cancellation stays one, although the client makes another error of it."""
    try:
        return await reply
    except _FAILURES as error:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError from error
        raise BrokerLost(str(error)) from error
