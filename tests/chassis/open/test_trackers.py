"""An error tracker gets each unexpected exception once; tracing sees routes and statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
import sentry_sdk
from fastapi import FastAPI
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sqlalchemy import text as statement
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.requests import Request
from starlette.responses import Response

from acme_service.chassis import Core, Parts
from acme_service.chassis.access import PUBLIC
from acme_service.chassis.errors import NotFound
from acme_service.chassis.http import mount

from .harness import layers, route, running, service

pytestmark = pytest.mark.anyio


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self, *, own_names: bool) -> None:
        super().__init__()
        self.events: list[Any] = []
        self.own_names = own_names

    def capture_envelope(self, envelope: Envelope) -> None:
        if (event := envelope.get_event()) is not None:
            self.events.append(event)


def to_sentry(error: BaseException, context: Mapping[str, Any]) -> None:
    """As docs/error-tracking-and-tracing.md has it."""
    with sentry_sdk.new_scope() as scope:
        scope.set_transaction_name(context.get("transaction") or context["where"])
        scope.set_tag("where", context["where"])
        scope.set_tag("request_id", context.get("request_id", ""))
        scope.capture_exception(error)


@pytest.fixture(params=[True, False], ids=["integrations", "recipe"])
def sentry(request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Its own Starlette and FastAPI integrations, if they are on, name transactions without the method."""
    transport = Kept(own_names=request.param)
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=transport, auto_enabling_integrations=request.param)
    yield transport
    sentry_sdk.init()


async def breaks(_request: Request) -> Response:
    raise KeyError("missing")


async def not_found(_request: Request) -> Response:
    raise NotFound("There is none.")


def mounted() -> FastAPI:
    api = FastAPI()

    @api.get("/items/{item_id}")
    async def item(item_id: str) -> str:
        raise KeyError(item_id)

    return api


@pytest.mark.parametrize(
    ("path", "transaction"),
    [("/things/7", "GET /things/{thing_id}"), ("/api/items/7", "GET /api/items/{item_id}"), ("/nothing/7", None)],
)
async def test_an_exception_of_a_handler_is_one_event(
    tmp_path: Path, sentry: Kept, path: str, transaction: str | None
) -> None:
    routes = [
        route("/things/{thing_id}", breaks),
        route("/nothing/{thing_id}", not_found),
        mount("/api", mounted(), policy=PUBLIC, name="api"),
    ]
    async with running(service(*routes, on_error=to_sentry), tmp_path) as client:
        await client.get(path, headers={"X-Request-ID": "mine"})

    if transaction is None:
        assert [] == sentry.events
        return
    (event,) = sentry.events
    if sentry.own_names:
        assert "{" in event["transaction"]
    else:
        assert (transaction, "request", "mine") == (
            event["transaction"], event["tags"]["where"], event["tags"]["request_id"]
        )  # fmt: skip
    assert "KeyError" == event["exception"]["values"][-1]["type"]


async def test_a_failed_background_task_is_one_event(tmp_path: Path, sentry: Kept) -> None:
    async def fails() -> None:
        raise OSError("no disk")

    def build(_core: Core) -> Parts:
        return Parts(tasks={"tidy": fails})

    async with running(service(build=build, on_error=to_sentry), tmp_path):
        await anyio.sleep(0.1)

    (event,) = sentry.events
    assert ("tidy", "background task") == (event["transaction"], event["tags"]["where"])


async def test_a_tracker_that_fails_is_no_failure_of_the_service(tmp_path: Path) -> None:
    def broken(_error: BaseException, _context: Mapping[str, Any]) -> None:
        raise RuntimeError

    async with running(service(route("/x", breaks), on_error=broken), tmp_path) as client:
        response = await client.get("/x")

    assert (500, 500) == (response.status_code, response.json()["status"])


async def test_traces_have_the_route_and_the_statements(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = SQLAlchemyInstrumentor()
    try:

        def build(core: Core) -> Parts:
            instrumentor.instrument(engines=core.database.engines, tracer_provider=provider, skip_dep_check=True)

            async def read(_request: Request) -> Response:
                async with core.database.reading() as connection:
                    await connection.execute(statement("SELECT 1"))
                return Response()

            routes = [route("/things/{thing_id}", read), mount("/api", mounted(), policy=PUBLIC, name="api")]
            return Parts(routes=routes)

        def traced(core: Core) -> Sequence[Middleware | None]:
            tracing = Middleware(OpenTelemetryMiddleware, tracer_provider=provider)
            return *layers(core), tracing

        async with running(service(build=build, middleware=traced), tmp_path) as client:
            exporter.clear()
            await client.get("/things/7")
            await client.get("/api/items/7")
    finally:
        instrumentor.uninstrument()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    request = spans["GET /things/{thing_id}"]
    assert request.attributes is not None
    assert "/things/{thing_id}" == request.attributes["http.route"]
    query = next(span for name, span in spans.items() if name.startswith("SELECT"))
    assert query.parent is not None
    assert request.context is not None
    assert request.context.trace_id == query.parent.trace_id
    assert "GET /api/items/{item_id}" in spans
