"""What the benchmarks promise their readers, whatever the figures are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import chat_comparison
import plot
import pytest
from ai_chat import ai_chat
from aws_lambda import aws_lambda
from chat_comparison import POSTGRESQL, SQLITE, compare_chat, idle_chat
from conftest import PROJECT_FOLDER, TEMPLATE, Render, make
from imports import imports
from jobs import jobs
from project import Project
from users_comparison import BARE, ORM, REQUESTS, SERVICE, compare_users

SVG = "{http://www.w3.org/2000/svg}"
PIN = re.compile(r'^ *"?([a-z0-9-]+)==([^\s",;]+)', re.MULTILINE)


def _picture(**requests_per_second: float) -> ET.Element:
    figures = {
        side: {measure.key: 2.0 for measure in plot.MEASURES} | {"requests_per_second": value}
        for side, value in requests_per_second.items()
    }
    return ET.fromstring(plot.svg(figures, ours="service", title="a < b", notes=["the machine"]))  # noqa: S314 - ours


def _texts(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def test_the_stack_compared_with_stands_on_the_versions_of_the_project() -> None:
    here = dict(PIN.findall((PROJECT_FOLDER / "pyproject.toml").read_text("utf-8")))
    there = dict(PIN.findall((TEMPLATE / "benchmarks" / "requirements.txt").read_text("utf-8")))
    shared = here.keys() & there.keys()

    assert {
        "argon2-cffi",
        "asyncpg",
        "orjson",
        "prometheus-client",
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "uvloop",
    } <= shared
    assert {name: here[name] for name in shared} == {name: there[name] for name in shared}


def test_a_picture_says_in_words_what_its_bars_show() -> None:
    texts = _texts(_picture(service=4_000.0, other=1_000.0))

    assert {"a < b", "service", "other", "4,000", "1,000", "the machine"} <= set(texts)


def test_a_bar_is_as_long_as_its_share_of_the_most() -> None:
    bars = list(_picture(service=4_000.0, other=1_000.0).iter(f"{SVG}rect"))
    most, *_ = [float(bar.attrib["width"]) for bar in bars if bar.attrib["class"] == "ours"]
    other, *_ = [float(bar.attrib["width"]) for bar in bars if bar.attrib["class"] == "bar"]

    assert round(most / 4, 1) == other


def test_nothing_of_a_picture_lies_beside_its_paper() -> None:
    paper, *bars = _picture(service=4_000.0, other=1_000.0).iter(f"{SVG}rect")

    assert bars
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) < float(paper.attrib["width"]) for bar in bars)


def test_the_picture_of_the_readme_was_made_by_the_present_script() -> None:
    picture = ET.parse(TEMPLATE / "docs" / "benchmark.svg").getroot()  # noqa: S314 - ours

    assert {measure.title for measure in plot.MEASURES} <= set(_texts(picture))
    assert plot.STYLE.split() == (picture.findtext(f"{SVG}style") or "").split()


def test_every_side_that_reads_users_answers_the_same_and_is_measured(project: Path) -> None:
    """It ends with an error if two sides differ, or if the service has a user in its cache."""
    make(TEMPLATE, "bench-stack", f"BUILD={project.parent}")
    usual_python = project.parent / "bench-venv" / "bin" / "python"
    figures = compare_users(Project(project), usual_python, rounds=1, seconds=0.5)

    assert list(REQUESTS) == list(figures)
    assert all([BARE, SERVICE, ORM] == list(sides) for sides in figures.values())
    assert all(figure["requests_per_second"] > 0 for sides in figures.values() for figure in sides.values())
    assert all(sides[BARE]["share"] == 1 for sides in figures.values())


@pytest.fixture(scope="module")
def chat(render: Render, open_folder: Path) -> Project:
    """A project with the feature, set up as `make bench` does it."""
    folder = render(output=open_folder / "chat", profile="minimal", chat="yes")
    make(folder, "setup")
    return Project(folder)


def test_every_side_of_the_chat_delivers_all_and_is_measured(chat: Project) -> None:
    figures = compare_chat(chat, rounds=1, seconds=0.5, first=50.0, most=100.0)

    assert [chat_comparison.BARE, SQLITE, POSTGRESQL] == list(figures)
    for figure in figures.values():
        assert figure["rate"] > 0
        assert figure["cpu_us"] > 0
        assert (0, 0) == (figure["missing"], figure["not_acknowledged"])


def test_connections_that_say_nothing_are_held_and_weighed(chat: Project) -> None:
    [(what, figure)] = idle_chat(chat, connections=60, seconds=0.5)

    assert "held of 60" in what
    assert figure.startswith("60; ")


@pytest.fixture(scope="module")
def importing(render: Render, open_folder: Path) -> Project:
    folder = render(output=open_folder / "imports", profile="minimal", csv_import="yes")
    make(folder, "setup")
    return Project(folder)


def test_an_import_is_measured_beside_the_bare_drivers(importing: Project) -> None:
    figures = list(imports(importing, many=5_000, few=1_000, seconds=0.5))

    assert 6 == len(figures)
    for what, figure in figures:
        assert "import" in what
        assert re.search(r"[1-9]", figure)


def test_jobs_are_measured_over_two_processes(importing: Project) -> None:
    figures = list(jobs(importing, many=20, few=5, seconds=0.2))

    assert ["s", "ms", "ms", "times"] == [figure.split()[-1] for _, figure in figures]
    assert all(re.search(r"[1-9]", figure) for _, figure in figures)


def test_the_assistant_is_measured_beside_a_bare_stream(render: Render, open_folder: Path) -> None:
    folder = render(output=open_folder / "assistant", profile="minimal", ai_chat="yes")
    make(folder, "setup")
    (_, share), (_, memory) = ai_chat(Project(folder), rounds=1, streams=3, many=3, tokens=20)

    assert re.fullmatch(r"\d+%: [\d,]+/s", share)
    assert re.fullmatch(r"\d+ and \d+ MB", memory)


def test_a_function_of_lambda_is_measured(render: Render, open_folder: Path) -> None:
    folder = render(output=open_folder / "function", profile="minimal", aws_lambda="yes")
    make(folder, "setup")
    (_, cold), (_, each) = aws_lambda(Project(folder), calls=20, cold_starts=1)

    assert re.fullmatch(r"\d\.\d\d s", cold)
    assert re.fullmatch(r"-?\d+ us", each)
