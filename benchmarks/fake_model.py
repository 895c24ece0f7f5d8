"""A provider that streams a completion of so many tokens as quickly as it is read; its port is its only line."""

from __future__ import annotations

import asyncio
import json
import os
import sys

WORD = "word "


def body(tokens: int) -> bytes:
    """The events of Chat Completions, in pieces of a hundred."""
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def event(delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps({**base, 'choices': [choice]})}\n\n"

    usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens + 10}
    end = event({}, "stop") + f"data: {json.dumps({**base, 'choices': [], 'usage': usage})}\n\ndata: [DONE]\n\n"
    pieces = [event({"content": WORD}) * min(100, tokens - start) for start in range(0, tokens, 100)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece.encode()) for piece in [*pieces, end]) + b"0\r\n\r\n"


async def main(tokens: int) -> None:
    """Serve until the process is ended."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = head + body(tokens)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                writer.write(response)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[2])})
    asyncio.run(main(int(sys.argv[1])))
