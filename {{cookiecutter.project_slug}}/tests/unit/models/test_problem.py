"""Problem types are documented, one page each, and the pages say what the registry says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from {{ cookiecutter.package_name }}.chassis.errors import FieldError
from {{ cookiecutter.package_name }}.chassis.shapes import problem

PAGES = Path(__file__).parents[3] / "docs" / "problems"


def test_each_type_has_a_page_and_each_page_a_type() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}

    assert set(problem.REGISTRY) == pages


@pytest.mark.parametrize("kind", problem.REGISTRY.values(), ids=lambda kind: kind.slug)
def test_a_page_names_the_uri_the_title_and_the_status(kind: problem.ProblemType) -> None:
    page = (PAGES / f"{kind.slug}.md").read_text(encoding="utf-8")

    assert page.startswith(f"# {kind.title}\n\n`{kind.uri}`, status {kind.status}")
    assert f"| {kind.status} | [{kind.slug}]({kind.slug}.md) | {kind.title} |" in (PAGES / "README.md").read_text()


@pytest.mark.parametrize(
    ("status", "slug"), [(404, "not-found"), (418, "client-error"), (503, "unavailable"), (511, "server-error")]
)
def test_a_status_without_a_type_of_its_own_gets_that_of_its_hundred(status: int, slug: str) -> None:
    assert slug == problem.type_for_status(status).slug


def test_a_document_has_the_members_of_rfc_9457_and_the_wrong_places() -> None:
    body = problem.problem_body(
        problem.INVALID, instance="r-1", detail="Two values are wrong.", errors=(FieldError("/email", "is no address"),)
    )

    assert {
        "type": problem.INVALID.uri,
        "title": "The request was read and is wrong",
        "status": 422,
        "detail": "Two values are wrong.",
        "instance": "r-1",
        "errors": [{"pointer": "/email", "detail": "is no address"}],
    } == json.loads(body)
