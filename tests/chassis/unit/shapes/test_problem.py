"""Problem types: each belongs to an error, is documented on a page, and the page says what the type says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import acme_service
from acme_service.chassis.errors import Conflict, FieldError, ServiceError, problem_types
from acme_service.chassis.shapes.problem import CHASSIS_TYPES, INVALID, ProblemDetails, ProblemType, type_for_status

PAGES = Path(acme_service.__file__).parents[2] / "docs" / "problems"
DETAILS = ProblemDetails("acme-service")


@pytest.mark.parametrize("kind", CHASSIS_TYPES, ids=lambda kind: kind.slug)
def test_a_page_names_the_uri_the_title_and_the_status(kind: ProblemType) -> None:
    page = (PAGES / f"{kind.slug}.md").read_text(encoding="utf-8")
    uri = json.loads(DETAILS.body(kind, instance=""))["type"]

    assert page.startswith(f"# {kind.title}\n\n`{uri}`, status {kind.status}")
    assert f"| {kind.status} | [{kind.slug}]({kind.slug}.md) | {kind.title} |" in (PAGES / "README.md").read_text()


def test_every_error_of_the_chassis_has_a_type_of_the_chassis() -> None:
    errors = [error for error in _all_errors(ServiceError) if error.__module__ == ServiceError.__module__]

    assert errors
    assert {error.problem for error in errors} <= set(CHASSIS_TYPES)


def test_an_error_of_the_service_adds_its_type() -> None:
    class OutOfStock(Conflict):
        problem = ProblemType("out-of-stock", 409, "Out of stock")

    assert OutOfStock.problem == problem_types()["out-of-stock"]


def test_a_slug_that_two_types_share_is_rejected() -> None:
    class Copied(Conflict):
        problem = ProblemType("conflict", 409, "Another title")

    try:
        with pytest.raises(ValueError, match="'conflict' is declared twice"):
            problem_types()
    finally:
        Copied.problem = Conflict.problem


@pytest.mark.parametrize(
    ("status", "slug"),
    [(400, "bad-request"), (404, "not-found"), (418, "client-error"), (503, "unavailable"), (511, "server-error")],
)
def test_a_status_without_a_type_of_its_own_gets_that_of_its_hundred(status: int, slug: str) -> None:
    assert slug == type_for_status(status).slug


def test_a_document_has_the_members_of_rfc_9457_and_the_wrong_places() -> None:
    body = DETAILS.body(
        INVALID, instance="r-1", detail="Two values are wrong.", errors=(FieldError("/email", "is no address"),)
    )

    assert {
        "type": "urn:problem-type:acme-service:invalid",
        "title": "Validation failed",
        "status": 422,
        "detail": "Two values are wrong.",
        "instance": "r-1",
        "errors": [{"pointer": "/email", "detail": "is no address"}],
    } == json.loads(body)


def _all_errors(root: type[ServiceError]) -> set[type[ServiceError]]:
    return {root}.union(*map(_all_errors, root.__subclasses__()))
