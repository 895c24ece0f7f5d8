"""What others will run is read here as they will read it: image, compose file, pipelines, lock."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import Render, make, project_environment, run

TOOLS = Path(sys.executable).parent
PIPELINES = {
    "github": (".github/workflows/ci.yml", "vendor.github-workflows"),
    "gitlab": (".gitlab-ci.yml", "vendor.gitlab-ci"),
}


@pytest.mark.parametrize("profile", ["standard", "full"])
def test_the_dockerfile_has_no_finding(render: Render, profile: str) -> None:
    run([str(TOOLS / "hadolint"), "Dockerfile"], render(profile=profile))


@pytest.mark.parametrize("auth", ["yes", "no"])
def test_the_template_of_the_function_has_no_finding(render: Render, auth: str) -> None:
    folder = render(aws_lambda="yes", auth=auth)

    run([str(TOOLS / "cfn-lint"), "aws_lambda.yaml"], folder)
    template = (folder / "aws_lambda.yaml").read_text()
    assert "{{resolve:secretsmanager:${SecretName}:SecretString:DATABASE_URL}}" in template
    assert (auth == "yes") is ("JWT_SECRET" in template)


def test_what_is_deployed_to_lambda_is_whole_and_its_size_is_printed(render: Render, open_folder: Path) -> None:
    folder = render(output=open_folder / "lambda", profile="minimal", aws_lambda="yes")
    printed = make(folder, "setup", "lambda")

    assert re.search(r"dist/lambda: [\d.]+ MB of the 250 MB", printed)
    assert re.search(r"import of acme_service.lambda_handler: 0\.\d\d s", printed)
    template = folder / "aws_lambda.yaml"
    template.write_text(template.read_text().replace("Runtime: python", "Runtime: python9"))
    process = _made(folder, "lambda")
    assert process.returncode != 0
    assert "make both the same" in process.stderr


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
    process = _made(render(), "setup", UV_LOCKED="1")

    assert process.returncode != 0
    assert "run 'make setup' and commit it" in process.stderr


def test_every_package_of_a_first_lock_is_one_that_was_tested(project: Path) -> None:
    constraints = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    packages = tomllib.loads((project / "uv.lock").read_text())["package"]
    locked = {f"{package['name']}=={package['version']}" for package in packages if "registry" in package["source"]}

    assert set() == locked - set(constraints)


def _made(folder: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", target],  # noqa: S607 - found on the PATH, as a person does
        cwd=folder,
        env=project_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def _database_url(services: dict[str, dict[str, dict[str, str]]]) -> str:
    return services["service"]["environment"]["DATABASE_URL"]


def _check(schema: str, path: Path) -> None:
    run([str(TOOLS / "check-jsonschema"), "--builtin-schema", schema, path.name], path.parent)
