"""The OpenAPI document: valid, complete, and true to what the service answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.requests import Request
from starlette.responses import Response

from acme_service.chassis.access import PUBLIC
from acme_service.chassis.application import create_app
from acme_service.chassis.cli import read_settings
from acme_service.chassis.errors import ConfigurationError, FieldError
from acme_service.chassis.http import ApiRoute, allow
from acme_service.chassis.http.openapi import Problem, openapi_document
from acme_service.chassis.http.policies import protect
from acme_service.chassis.settings import ServerSettings
from acme_service.chassis.shapes.problem import INVALID, ProblemDetails

from ...application import new_process
from ...sample import RENDERED

Json = dict[str, Any]


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Every route of the service, as it is composed."""
    folder: Path = tmp_path_factory.mktemp("settings")
    settings = read_settings(RENDERED, {"APP_ENV": "test"}, folder)
    return list(create_app(RENDERED, settings, new_process()).routes)


@pytest.fixture(scope="module")
def document(routes: list[object]) -> Json:
    parsed: Json = json.loads(openapi_document(RENDERED, routes))
    return parsed


@pytest.fixture(scope="module")
def operations(document: Json) -> dict[str, Json]:
    """Each operation by its method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid_openapi(document: Json) -> None:
    assert [] == [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


def test_every_route_stands_in_the_document(routes: list[object], operations: dict[str, Json]) -> None:
    """What is mounted describes itself, if at all."""
    declared = [route for route in routes if isinstance(route, ApiRoute)]

    assert {f"{method} {route.path}" for route in declared for method in route.endpoints} == set(operations)


def test_every_operation_is_described_for_people(operations: dict[str, Json]) -> None:
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        assert operation["tags"], name
        assert all(parameter["description"] for parameter in operation.get("parameters", ())), name


def test_operation_ids_are_unique(operations: dict[str, Json]) -> None:
    assert len(operations) == len({operation["operationId"] for operation in operations.values()})


def test_every_failure_is_a_problem_document(operations: dict[str, Json]) -> None:
    for name, operation in operations.items():
        failures = {status: answer for status, answer in operation["responses"].items() if status[0] not in "123"}
        assert "default" in failures, name
        for answer in failures.values():
            schema = {"$ref": "#/components/schemas/Problem"}
            assert {"application/problem+json": {"schema": schema}} == answer["content"], name


def test_what_a_problem_document_holds_is_what_the_schema_says(document: Json) -> None:
    body = json.loads(ProblemDetails("x").body(INVALID, instance="id", errors=(FieldError("/email", "is wrong"),)))
    schema = document["components"]["schemas"]["Problem"]

    assert set(body) == set(schema["properties"])
    assert set(schema["required"]) == set(body) - {"errors"}
    assert body == Problem.model_validate(body, strict=True).model_dump()


def test_a_route_without_a_description_is_rejected() -> None:
    async def silent(_request: Request) -> Response:
        return Response()

    route = ApiRoute("/api/silent", {"PATCH": allow(PUBLIC, silent)}, name="silent")
    with pytest.raises(ConfigurationError, match="PATCH /api/silent has no description: put @describe"):
        protect([route], None, ServerSettings())


def test_parts_of_the_path_are_required_parameters(operations: dict[str, Json]) -> None:
    parameter = operations["DELETE /api/users/{user_id}"]["parameters"][0]

    assert ("user_id", "path", True) == (parameter["name"], parameter["in"], parameter["required"])
    assert "pattern" in parameter["schema"]


def test_no_parameter_has_a_default_that_generated_clients_would_send(operations: dict[str, Json]) -> None:
    parameters = [each for operation in operations.values() for each in operation.get("parameters", ())]
    page = next(each for each in parameters if each["name"] == "page")

    assert all("default" not in each["schema"] for each in parameters)
    assert page["description"].endswith("1 when absent.")


def test_a_public_operation_says_that_it_needs_no_security(routes: list[object]) -> None:
    parsed = json.loads(openapi_document(RENDERED, routes, {"type": "http", "scheme": "bearer"}))
    security = {path: operation["security"] for path, item in parsed["paths"].items() for operation in item.values()}

    assert [] == security["/health/live"]
    assert set(map(str, security.values())) <= {"[]", "[{'caller': []}]"}


def test_what_may_be_absent_from_the_address_is_never_null(operations: dict[str, Json]) -> None:
    parameters = {parameter["name"]: parameter for parameter in operations["GET /api/users"]["parameters"]}

    assert {"page", "limit", "cursor", "ids", "sort"} <= set(parameters)
    assert not any(parameter["required"] for parameter in parameters.values())
    assert "null" not in json.dumps(parameters)
    assert (1, 100) == tuple(parameters["limit"]["schema"][name] for name in ("minimum", "maximum"))


def test_a_body_is_required_and_refers_to_its_model(operations: dict[str, Json]) -> None:
    body = operations["POST /api/users"]["requestBody"]

    assert body["required"]
    assert {"$ref": "#/components/schemas/UserCreate"} == body["content"]["application/json"]["schema"]


def test_a_password_is_in_no_answer(document: Json) -> None:
    assert "password" in document["components"]["schemas"]["UserCreate"]["properties"]
    assert not any("password" in name for name in document["components"]["schemas"]["UserOut"]["properties"])


def test_unavailable_says_when_to_come_back(operations: dict[str, Json]) -> None:
    assert {"X-Request-ID", "Retry-After"} == set(operations["GET /api/users"]["responses"]["503"]["headers"])
