"""The OpenAPI 3.1 document, made from the routes and from what each handler says about itself.

Specification: https://spec.openapis.org/oas/v3.1.1.html. It is built once, so nothing here costs a request anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema
from starlette.convertors import Convertor, FloatConvertor, IntegerConvertor, StringConvertor, UUIDConvertor

from ..access import PUBLIC, Policy
from ..context import REQUEST_ID_PATTERN
from ..shapes.ids import ID_PATTERN
from ..shapes.problem import CONTENT_TYPE
from .describe import Operation, Shape
from .routing import ApiRoute

if TYPE_CHECKING:
    from ..service import Service

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

SCHEME = "caller"
RETRYABLE_STATUSES = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text that no other request of this caller to this path has. The same request again gets the "
    "same response for 24 hours, and no second effect; with another body it is 422, while the first one runs 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
ENTITY_TAGS = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*"){0,49})$'
"""Of `If-Match`: `*`, or tags (RFC 9110, section 8.8.3) of printable ASCII; MAX_TAGS of them are read."""
SCHEMAS = "#/components/schemas/"
REQUEST_ID = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
ETAG = {"ETag": {"$ref": "#/components/headers/ETag"}}
IDEMPOTENCY_REPLAYED = {"Idempotency-Replayed": {"$ref": "#/components/headers/IdempotencyReplayed"}}
CHANGING_METHODS = frozenset({"PUT", "PATCH", "DELETE"})
RETRY_AFTER = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
CONVERTORS: Mapping[type[Convertor[Any]], Json] = {
    IntegerConvertor: {"type": "integer", "minimum": 0},
    FloatConvertor: {"type": "number", "minimum": 0},
    UUIDConvertor: {"type": "string", "format": "uuid"},
}
"""What a path parameter of each of Starlette's convertors is; those of others are texts."""
HEADERS: Json = {
    "RequestId": {
        "description": "Names the request in each log line about it; the caller's own, if it sent an acceptable one.",
        "schema": {"type": "string", "pattern": f"^{REQUEST_ID_PATTERN}$"},
    },
    "ETag": {
        "description": "The version of the resource, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
    },
    "IdempotencyReplayed": {
        "description": "There if the response is the one to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "boolean"},
    },
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
}


class ProblemError(BaseModel):
    """One wrong value."""

    pointer: str = Field(description="A JSON pointer into the body, or a parameter's name after `?`.")
    detail: str


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Which kind of problem; the same for every occurrence.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    instance: str = Field(description="The request id.")
    errors: list[ProblemError] = Field(default=[], description="Every wrong place, when the content was wrong.")


def openapi_document(service: Service, routes: Iterable[object], scheme: Mapping[str, Any] | None = None) -> bytes:
    """The document of *service* for those of *routes* that are API routes, as JSON.

    *scheme* is how callers authenticate, if any have to.
    """
    operations = list(_operations(routes))
    schemas = _Schemas(operation for *_, operation in operations)
    paths: dict[str, Json] = {}
    for route, method, operation in operations:
        template = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
        described = _operation(route, method, operation, schemas)
        policy = route.endpoints[method].policy
        if policy == PUBLIC:
            described["security"] = []
        elif scheme:
            described |= _restricted(policy, described["responses"], schemas)
        paths.setdefault(template, {})[method.lower()] = described
    document: Json = {
        "openapi": "3.1.1",
        "info": {
            "title": service.title,
            "version": service.version,
            "description": f"{service.description}\n\nEvery response of 400 and above that the service itself makes is "
            "problem details (RFC 9457).",
        },
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "tags": [{"name": name} for name in dict.fromkeys(tag for *_, each in operations for tag in each.tags)],
        "paths": paths,
        "components": {"schemas": schemas.definitions, "headers": HEADERS},
    }
    if scheme:
        document["components"]["securitySchemes"] = {SCHEME: scheme}
    return orjson.dumps(document)


def _operations(routes: Iterable[object]) -> Iterator[tuple[ApiRoute, str, Operation]]:
    for route in routes:
        if isinstance(route, ApiRoute):
            for method, endpoint in route.endpoints.items():
                yield route, method, endpoint.handler.operation  # type: ignore[union-attr] # `describe` has put it there


class _Schemas:
    """The schemas of all models in use, each once, and references to them."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        models: list[tuple[type[BaseModel], Mode]] = [(Problem, "serialization")]
        for operation in operations:
            models += [(model, "validation") for model in (operation.body, operation.query) if model]
            models += [(model, "serialization") for shape in operation.responses.values() for model in _models(shape)]
        unique = list(dict.fromkeys(models))
        self._references, schema = models_json_schema(unique, ref_template=SCHEMAS + "{model}")
        self.definitions: Json = schema.get("$defs", {})

    def reference(self, model: type[BaseModel], mode: Mode) -> Json:
        return self._references[(model, mode)]

    def properties(self, model: type[BaseModel]) -> Iterator[tuple[str, Json, bool]]:
        """Name, schema, and whether it is required, of each field of *model*; removes the model from the document."""
        schema = self.definitions.pop(self.reference(model, "validation")["$ref"].removeprefix(SCHEMAS), None)
        schema = schema or model.model_json_schema(ref_template=SCHEMAS + "{model}")
        for name, described in schema["properties"].items():
            yield name, described, name in schema.get("required", ())


def _models(shape: Shape) -> tuple[type[BaseModel], ...]:
    shapes = shape if isinstance(shape, tuple) else (shape,)
    return tuple(each for each in shapes if isinstance(each, type) and issubclass(each, BaseModel))


def _operation(route: ApiRoute, method: str, operation: Operation, schemas: _Schemas) -> Json:
    described: Json = {
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}_{route.name}"),
        "summary": operation.summary,
        "description": operation.description,
        "tags": list(operation.tags),
        "responses": _responses(operation, schemas, _problems(route, method, operation)),
    }
    headers = _header_parameters(route, method, operation)
    if parameters := [*_path_parameters(route), *_query_parameters(operation, schemas), *headers]:
        described["parameters"] = parameters
    if operation.body:
        content = {"application/json": {"schema": schemas.reference(operation.body, "validation")}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.body_type:
        content = {operation.body_type: {"schema": {"type": "string"}}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parameters(route: ApiRoute) -> Iterator[Json]:
    for name, convertor in route.param_convertors.items():
        schema: Json = dict(CONVERTORS.get(type(convertor), {"type": "string"}))
        if name.endswith("_id") and type(convertor) is StringConvertor:
            schema["pattern"] = ID_PATTERN
        description = f"The {name.replace('_', ' ')}."
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _query_parameters(operation: Operation, schemas: _Schemas) -> Iterator[Json]:
    """A parameter of the address is absent or there: what is null in the model is absent here."""
    if operation.query is None:
        return
    for name, described, required in schemas.properties(operation.query):
        schema = dict(described)
        description = schema.pop("description", "")
        # Generated clients would send it always, also beside what it cannot be used with.
        if (default := schema.pop("default", None)) is not None:
            description = f"{description} {default} when absent.".lstrip()
        if any(choice == {"type": "null"} for choice in schema.get("anyOf", ())):
            choices = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
            schema |= choices[0] if len(choices) == 1 else {"anyOf": choices}
        yield {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _header_parameters(route: ApiRoute, method: str, operation: Operation) -> Iterator[Json]:
    if operation.idempotent:
        yield IDEMPOTENCY_KEY
    if _takes_if_match(method, operation):
        required = route.endpoints[method].if_match_required
        description = "Change the resource only in the version of one of these ETags; `*` means any."
        schema = {"type": "string", "pattern": ENTITY_TAGS}
        yield {"name": "If-Match", "in": "header", "required": required, "description": description, "schema": schema}


def _takes_if_match(method: str, operation: Operation) -> bool:
    return operation.versioned and method in CHANGING_METHODS


def _problems(route: ApiRoute, method: str, operation: Operation) -> list[int]:
    """The statuses that *operation* declares, and those of the fields that it takes."""
    found = {*operation.problems, *((400, 409, 422) if operation.idempotent else ())}
    if _takes_if_match(method, operation):
        found |= {400, 412, *((428,) if route.endpoints[method].if_match_required else ())}
    return sorted(found)


def _responses(operation: Operation, schemas: _Schemas, problems: Iterable[int]) -> Json:
    responses: Json = {}
    for status, shape in operation.responses.items():
        headers = REQUEST_ID | (IDEMPOTENCY_REPLAYED if operation.idempotent else {})
        if operation.versioned and shape is not None:
            headers = headers | ETAG
        response: Json = {"description": HTTPStatus(status).phrase, "headers": headers}
        if shape is not None:
            response["content"] = _content(shape, operation.text_type, schemas)
        responses[str(status)] = response
    for status in problems:
        responses[str(status)] = _problem(HTTPStatus(status), schemas)
    responses["default"] = _problem(None, schemas)
    return responses


def _problem(status: HTTPStatus | None, schemas: _Schemas) -> Json:
    """The response of a failure; without a *status*, of any other one."""
    return {
        "description": status.phrase if status else "Any other failure",
        "headers": REQUEST_ID | RETRY_AFTER if status in RETRYABLE_STATUSES else REQUEST_ID,
        "content": {CONTENT_TYPE.decode(): {"schema": schemas.reference(Problem, "serialization")}},
    }


def _restricted(policy: Policy, responses: Json, schemas: _Schemas) -> Json:
    """What a protected operation has besides; `x-policy` is the route's own declaration."""
    statuses = [HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND if policy.owner else HTTPStatus.FORBIDDEN]
    rejected = {str(status.value): _problem(status, schemas) for status in statuses}
    return {"security": [{SCHEME: []}], "x-policy": str(policy), "responses": rejected | responses}


def _content(shape: Shape, text_type: str, schemas: _Schemas) -> Json:
    references = [schemas.reference(model, "serialization") for model in _models(shape)]
    content: Json = {}
    if references:
        schema = references[0] if len(references) == 1 else {"anyOf": references}
        content["application/json"] = {"schema": schema}
    if not references or (isinstance(shape, tuple) and str in shape):
        content[text_type] = {"schema": {"type": "string"}}
    return content
