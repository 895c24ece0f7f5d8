"""The log of a process that is opened again."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog

from acme_service.chassis.logs.setup import configure_logging
from acme_service.chassis.logs.writer import LogWriter


@pytest.fixture(autouse=True)
def structlog_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def opened(stream: io.BytesIO, *, own_threads: bool = True) -> LogWriter:
    return configure_logging(
        level="info",
        json_lines=True,
        file=None,
        service="s",
        version="1",
        environment="test",
        stream=stream,
        own_threads=own_threads,
    )


def test_a_logger_that_spoke_before_is_heard_in_the_next_log() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    log = structlog.get_logger("twice")
    opened(first)
    log.info("one")
    writer = opened(second)
    log.info("two")
    assert writer.flush(5)
    assert b'"event":"two"' in second.getvalue()
    assert b"two" not in first.getvalue()


def test_without_threads_lines_are_written_by_the_flush() -> None:
    stream = io.BytesIO()
    writer = opened(stream, own_threads=False)
    structlog.get_logger("here").info("one")
    assert b"" == stream.getvalue()
    assert writer.flush(0)
    assert b'"event":"one"' in stream.getvalue()
    structlog.get_logger("here").info("two")
    writer.close()
    assert b'"event":"two"' in stream.getvalue() or stream.closed
