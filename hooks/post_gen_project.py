"""Remove what was not chosen. Standard library only, no network, nothing random: a template update runs this again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

# Question -> answer -> the paths that exist only for that answer. It is not kept in cookiecutter.json, because cruft
# freezes private variables. What a path holds, such as the text of LICENSE, is decided by conditionals in the file.
PACKAGE = "src/{{cookiecutter.package_name}}"
FEATURES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "ai_chat": {
        "yes": (
            f"{PACKAGE}/chassis/ai_chat",
            f"{PACKAGE}/config/ai_chat.py",
            f"{PACKAGE}/features/ai_chat.py",
            f"{PACKAGE}/models/ai_chat.py",
            f"{PACKAGE}/pages/ai_chat.html",
            f"{PACKAGE}/routes/ai_chat.py",
            f"{PACKAGE}/services/ai_chat.py",
            "docs/ai_chat.md",
            "tests/ai_chat.py",
            "tests/test_ai_chat.py",
        ),
        "no": (),
    },
    "auth": {
        "yes": (
            f"{PACKAGE}/chassis/auth",
            f"{PACKAGE}/config/auth.py",
            f"{PACKAGE}/controllers/auth.py",
            f"{PACKAGE}/features/auth.py",
            f"{PACKAGE}/models/auth.py",
            f"{PACKAGE}/routes/auth.py",
            f"{PACKAGE}/services/auth.py",
            f"{PACKAGE}/services/auth_accounts.py",
            f"{PACKAGE}/services/auth_directory.py",
            f"{PACKAGE}/services/auth_identities.py",
            f"{PACKAGE}/services/auth_sessions.py",
            "docs/auth.md",
            "tests/auth.py",
            "tests/test_auth_api.py",
            "tests/test_auth_matrix.py",
            "tests/test_auth_redis.py",
            "tests/test_auth_service.py",
            "tests/test_auth_settings.py",
        ),
        "no": (),
    },
    "aws_lambda": {
        "yes": (
            f"{PACKAGE}/chassis/aws_lambda",
            f"{PACKAGE}/lambda_handler.py",
            "aws_lambda.yaml",
            "docs/aws_lambda.md",
            "scripts/aws_lambda_bundle.py",
            "tests/aws_lambda.py",
            "tests/test_aws_lambda.py",
        ),
        "no": (),
    },
    "chat": {
        "yes": (
            f"{PACKAGE}/chassis/chat",
            f"{PACKAGE}/config/chat.py",
            f"{PACKAGE}/controllers/chat.py",
            f"{PACKAGE}/features/chat.py",
            f"{PACKAGE}/models/chat.py",
            f"{PACKAGE}/pages/chat.html",
            f"{PACKAGE}/routes/chat.py",
            f"{PACKAGE}/services/chat.py",
            "docs/chat.md",
            "tests/chat.py",
            "tests/test_chat.py",
            "tests/test_chat_page.py",
            "tests/test_chat_redis.py",
            "tests/test_chat_service.py",
        ),
        "no": (),
    },
    "csv_import": {
        "yes": (
            f"{PACKAGE}/chassis/csv_import",
            f"{PACKAGE}/chassis/jobs",
            f"{PACKAGE}/config/csv_import.py",
            f"{PACKAGE}/config/jobs.py",
            f"{PACKAGE}/features/csv_import.py",
            f"{PACKAGE}/features/jobs.py",
            f"{PACKAGE}/models/csv_import.py",
            f"{PACKAGE}/models/jobs.py",
            f"{PACKAGE}/routes/csv_import.py",
            f"{PACKAGE}/services/csv_import.py",
            "docs/csv_import.md",
            "docs/jobs.md",
            "tests/csv_import.py",
            "tests/test_csv_import.py",
            "tests/test_jobs.py",
        ),
        "no": (),
    },
    "ci": {
        "github": (".github",),
        "gitlab": (".gitlab-ci.yml",),
        "none": (),
    },
    "license": {
        "MIT": ("LICENSE",),
        "Apache-2.0": ("LICENSE",),
        "BSD-3-Clause": ("LICENSE",),
        "Proprietary": ("LICENSE",),
    },
}

ANSWERS: Mapping[str, str] = {
    "ai_chat": "{{ cookiecutter.ai_chat }}",
    "auth": "{{ cookiecutter.auth }}",
    "aws_lambda": "{{ cookiecutter.aws_lambda }}",
    "chat": "{{ cookiecutter.chat }}",
    "csv_import": "{{ cookiecutter.csv_import }}",
    "ci": "{{ cookiecutter.ci }}",
    "license": "{{ cookiecutter.license }}",
}


def prune(project: Path, answers: Mapping[str, str]) -> None:
    """Delete from *project* every path that belongs only to answers that were not given.

    Raises SystemExit, before anything is deleted, if the manifest names a path that is not there.
    """
    owned = {path for paths_by_answer in FEATURES.values() for paths in paths_by_answer.values() for path in paths}
    missing = sorted(path for path in owned if not (project / path).exists())
    if missing:
        sys.exit(f"hooks/post_gen_project.py: FEATURES names what the template does not have: {', '.join(missing)}")
    for path in sorted(owned - chosen(answers)):
        remove(project / path)


def chosen(answers: Mapping[str, str]) -> set[str]:
    """Return the paths in the manifest that belong to *answers*."""
    return {path for question, paths_by_answer in FEATURES.items() for path in paths_by_answer[answers[question]]}


def remove(path: Path) -> None:
    """Delete the file or the folder *path*, and the folder around it if that is empty then."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


if __name__ == "__main__":
    prune(Path.cwd(), ANSWERS)
