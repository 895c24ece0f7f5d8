"""The OpenAPI document: converters, title and description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .harness import route, running, service, text

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("path", "template", "schema"),
    [
        ("/orders/{order_id:int}", "/orders/{order_id}", {"type": "integer", "minimum": 0}),
        ("/prices/{price:float}", "/prices/{price}", {"type": "number", "minimum": 0}),
        ("/things/{thing_id:uuid}", "/things/{thing_id}", {"type": "string", "format": "uuid"}),
        ("/files/{name:path}", "/files/{name}", {"type": "string"}),
        ("/tags/{tag:str}", "/tags/{tag}", {"type": "string"}),
        ("/tags/{tag}", "/tags/{tag}", {"type": "string"}),
    ],
)
async def test_a_converter_is_a_schema(tmp_path: Path, path: str, template: str, schema: dict[str, Any]) -> None:
    async with running(service(route(path, text)), tmp_path) as client:
        document = (await client.get("/openapi.json")).json()

    (parameter,) = document["paths"][template]["get"]["parameters"]
    assert schema == parameter["schema"]
    assert path == template or path not in document["paths"]


async def test_title_and_description_are_those_of_the_service(tmp_path: Path) -> None:
    async with running(service(), tmp_path) as client:
        info = (await client.get("/openapi.json")).json()["info"]

    assert ("Open", "1.0") == (info["title"], info["version"])
    assert info["description"].startswith("What the tests build.\n\n")
