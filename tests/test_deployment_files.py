"""What others will run is read here as they will read it: image, compose file, pipelines, lock."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import Render, project_environment, run

TOOLS = Path(sys.executable).parent
PIPELINES = {
    "github": (".github/workflows/ci.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
}


def test_the_dockerfile_has_no_finding(default_render: Path) -> None:
    run([str(TOOLS / "hadolint"), "Dockerfile"], default_render)


def test_the_dockerfile_needs_no_daemon_of_a_certain_kind(default_render: Path) -> None:
    dockerfile = (default_render / "Dockerfile").read_text()

    assert "--link" not in dockerfile
    assert "<<" not in dockerfile


def test_the_compose_file_fits_its_schema(default_render: Path) -> None:
    _check("vendor.compose-spec", default_render / "compose.yaml")


def test_the_compose_file_holds_no_password(default_render: Path) -> None:
    services = yaml.safe_load((default_render / "compose.yaml").read_text())["services"]
    required = r"\$\{POSTGRES_PASSWORD:\?[^}]+\}"

    assert re.fullmatch(required, services["postgres"]["environment"]["POSTGRES_PASSWORD"])
    assert re.fullmatch(rf"postgresql://service:{required}@postgres:5432/service", _database_url(services))


def test_every_service_is_confined_and_health_checked(default_render: Path) -> None:
    services = yaml.safe_load((default_render / "compose.yaml").read_text())["services"]

    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
    assert services["service"]["read_only"]
    assert services["service"]["cap_drop"] == ["ALL"]
    for needed, condition in services["service"]["depends_on"].items():
        assert condition == {"condition": "service_healthy"}
        assert "healthcheck" in services[needed]


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_pipeline_fits_its_schema(render: Render, ci: str) -> None:
    path, schema = PIPELINES[ci]

    _check(schema, render(ci=ci) / path)


def test_the_workflow_has_no_security_finding(default_render: Path) -> None:
    run([str(TOOLS / "zizmor"), "--offline", "--no-progress", PIPELINES["github"][0]], default_render)


@pytest.mark.parametrize("ci", PIPELINES)
def test_a_pipeline_tests_the_oldest_and_the_newest_python(render: Render, ci: str) -> None:
    pipeline = yaml.safe_load((render(ci=ci, python_version="3.12") / PIPELINES[ci][0]).read_text())
    if ci == "github":
        matrix = pipeline["jobs"]["test"]["strategy"]["matrix"]["python"]
    else:
        matrix = pipeline["test"]["parallel"]["matrix"][0]["PYTHON_TAG"]

    assert matrix == ["3.12", "3.14"]


def test_a_setup_in_a_pipeline_refuses_to_go_on_without_a_lock(render: Render) -> None:
    process = subprocess.run(
        ["make", "setup"],  # noqa: S607 - found on the PATH, as a person does
        cwd=render(),
        env=project_environment(UV_LOCKED="1"),
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode != 0
    assert "run 'make setup' and commit it" in process.stderr


def test_every_package_of_a_first_lock_is_one_that_was_tested(project: Path) -> None:
    constraints = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    packages = tomllib.loads((project / "uv.lock").read_text())["package"]
    locked = {f"{package['name']}=={package['version']}" for package in packages if "registry" in package["source"]}

    assert set() == locked - set(constraints)


def _database_url(services: dict[str, dict[str, dict[str, str]]]) -> str:
    return services["service"]["environment"]["DATABASE_URL"]


def _check(schema: str, path: Path) -> None:
    run([str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, path.name], path.parent)
