"""What is known of one completion while it is made."""

from __future__ import annotations

from time import monotonic

from .provider import Usage, text_tokens


class Run:
    """One completion, which may take *total_seconds*."""

    def __init__(self, total_seconds: float) -> None:
        self._started = monotonic()
        self._total_seconds = total_seconds
        self._parts: list[str] = []
        self._half = ""
        """The first half of a surrogate pair, at the end of the last part."""
        self.size = 0
        """Of the text, in bytes; 0 until it has begun."""
        self.first_token_seconds = 0.0
        self.input_tokens = 0
        """As estimated."""
        self.asked = False
        self.free = False
        """Whether the provider failed in a way that it does not bill."""
        self.stored = False
        self.usage: Usage | None = None

    @property
    def seconds(self) -> float:
        return monotonic() - self._started

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._total_seconds - self.seconds)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def used(self) -> tuple[int, int]:
        """Tokens in and out: as the provider counts, or as estimated."""
        if not self.asked or self.free:
            return 0, 0
        counted = self.usage or Usage("")
        input_tokens = self.input_tokens if counted.input_tokens is None else counted.input_tokens
        output_tokens = text_tokens(self.size) if counted.output_tokens is None else counted.output_tokens
        return input_tokens, output_tokens

    def add(self, part: str) -> str:
        """*part* as it is kept and sent: what neither JSON nor a database holds is replaced."""
        if self._half or not part.isascii() or "\x00" in part:
            part = self._fit(part)
        self._parts.append(part)
        self.size += len(part) if part.isascii() else len(part.encode())
        return part

    def _fit(self, part: str) -> str:
        part = self._half + part
        self._half = part[-1] if part and "\ud800" <= part[-1] <= "\udbff" else ""
        units = part.removesuffix(self._half).encode("utf-16-le", "surrogatepass")
        return units.decode("utf-16-le", "replace").replace("\x00", "\ufffd")
