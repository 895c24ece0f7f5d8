"""What a chat counts; plain numbers that only the event loop changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..metrics import Durations, Metrics


class ChatMetrics:
    """The figures, and their names."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        connections: Callable[[], int],
        rooms: Callable[[], int],
        degraded: Callable[[], bool],
    ) -> None:
        self.messages: Counter[str] = Counter({"in": 0, "out": 0})
        self.refused: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter({"slow reader": 0, "redis": 0})
        self.failures = 0
        self.broadcast = Durations("chat_broadcast_seconds", "From a message's arrival until it is sent to its room.")
        metrics.registry.register(self.broadcast)
        metrics.read_gauge("chat_connections", "Connections to the chat that are open.", connections)
        metrics.read_gauge("chat_rooms", "Rooms that a connection of this process is in.", rooms)
        metrics.read_gauge(
            "chat_degraded",
            "1 while rooms of this process may miss what others send, else 0.",
            lambda: float(degraded()),
        )
        metrics.read_counters(
            "chat_messages", "Messages that came in, and copies that went out.", "direction", self.messages.copy
        )
        metrics.read_counters(
            "chat_refused", "Events and connections refused, by problem type.", "reason", self.refused.copy
        )
        metrics.read_counters(
            "chat_dropped", "Packets that were not delivered, by reason.", "reason", self.dropped.copy
        )
        metrics.read_counter("chat_handler_failures", "Events whose handler failed.", lambda: self.failures)
