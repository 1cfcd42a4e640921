"""Dockerfiles, workflows and Makefiles, and the commands in all of them."""

from __future__ import annotations

import pytest

from loopline.repository import Repository, expanded, parts, read_texts
from loopline.repository.dockerfiles import is_dockerfile

DOCKERFILE = """\
# escape=\\
FROM python:3.12-slim AS base
# a comment
RUN apt-get update && \\
    # a comment inside
    apt-get install -y git \\

    curl
COPY ["src", "with space/"]
RUN <<EOF
pip install .
EOF
nonsense here
CMD ["python", "train.py"]
ENTRYPOINT [broken
"""


def test_a_dockerfile_becomes_instructions() -> None:
    """Continued lines are one, comments are none, here-documents belong to their instruction."""
    parsed = read_texts({"train.dockerfile": DOCKERFILE}).dockerfiles["train.dockerfile"]
    assert [(item.name, item.line) for item in parsed.instructions] == [
        ("FROM", 2),
        ("RUN", 4),
        ("COPY", 9),
        ("RUN", 10),
        ("CMD", 14),
        ("ENTRYPOINT", 15),
    ]
    assert parsed.of("RUN")[0].text == "apt-get update && apt-get install -y git curl"
    assert "pip install ." in parsed.of("RUN")[1].text
    assert parsed.of("COPY")[0].words == ["src", "with space/"]
    assert parsed.of("ENTRYPOINT")[0].words == ["[broken"]


def test_dockerfiles_are_known_by_name() -> None:
    """Any of the usual spellings, and nothing that only mentions the word."""
    names = ["Dockerfile", "Dockerfile.gpu", "predict gpu.dockerfile", "docker/train.Dockerfile", "Containerfile"]
    assert all(map(is_dockerfile, names))
    assert not any(map(is_dockerfile, ["dockerfiles/.gitkeep", "Dockerfile.dockerignore", "dockerfile.md", "a.py"]))


WORKFLOW = """\
name: Tests
on:
  push:
    paths: [src/**]
  workflow_dispatch:
jobs:
  test:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        python: ["3.11", "3.12"]
    steps:
      - uses: actions/setup-python@v6
        with:
          cache: pip
      - run: |
          # nothing
          uv run --group dev pytest \\
            tests
          make lint
      - if: ${{ false }}
        run: never
      - just text
  stuck:
    runs-on: [ubuntu-latest, windows-latest]
    steps:
      - run: stuck
  off:
    if: false
    runs-on: ubuntu-latest
    steps:
      - run: off
  called:
    uses: ./.github/workflows/other.yaml
  nothing: text
"""


def test_a_workflow_has_events_jobs_and_live_steps() -> None:
    """A list of systems never starts, and what is switched off does not run."""
    repository = read_texts({".github/workflows/tests.yaml": WORKFLOW, ".github/workflows/sub/no.yaml": WORKFLOW})
    assert list(repository.workflows) == [".github/workflows/tests.yaml"]
    workflow = repository.workflows[".github/workflows/tests.yaml"]
    assert workflow.name == "Tests"
    assert list(workflow.events) == ["push", "workflow_dispatch"]
    assert [(job.name, job.can_start) for job in workflow.jobs] == [
        ("test", True),
        ("stuck", False),
        ("off", False),
        ("called", True),
    ]
    assert workflow.jobs[0].matrix == {"python": ["3.11", "3.12"]}
    assert workflow.jobs[3].uses == "./.github/workflows/other.yaml"
    assert [step.uses or step.run.splitlines()[0] for step in workflow.steps] == ["actions/setup-python", "# nothing"]
    assert workflow.evidence(None, "It.").path == workflow.path
    commands = [(command.line, command.text) for command in repository.commands]
    assert commands == [(18, "uv run --group dev pytest tests"), (20, "make lint")]


def test_other_shapes_of_workflows() -> None:
    """Events as a text or a list; a file without jobs or events is none."""
    texts = {
        "a": "on: push\njobs: {t: {runs-on: x}}",
        "b": "on: [push, pull_request]\njobs: {t: {steps: 3}}",
        "c": "jobs: {}",
        "d": "on: 5\njobs: {}",
    }
    repository = read_texts({f".github/workflows/{name}.yml": text for name, text in texts.items()})
    assert [list(workflow.events) for workflow in repository.workflows.values()] == [["push"], ["push", "pull_request"]]


MAKEFILE = """\
.PHONY: lint
PYTHON := python
lint: format
\t@ruff check \\
\t  src
\t# nothing
test check: ; pytest tests
format:
\t-ruff format .
"""


def test_a_makefile_has_targets() -> None:
    """Prefixes and continuations go, several names are several targets, assignments are none."""
    targets = read_texts({"Makefile": MAKEFILE}).makefile_targets
    assert [(target.name, target.needs, target.commands, target.line) for target in targets] == [
        ("lint", ("format",), ("ruff check  \t  src",), 3),
        ("test", (), ("pytest tests",), 7),
        ("check", (), ("pytest tests",), 7),
        ("format", (), ("ruff format .",), 8),
    ]


@pytest.mark.parametrize("path", ["GNUmakefile", "deploy/Makefile.docker", "rules.mk"])
def test_makefiles_have_several_names(path: str) -> None:
    """As `make -f` is given them."""
    assert [target.name for target in read_texts({path: "all:\n\ttrue\n"}).makefile_targets] == ["all"]


CALLS = """\
on: push
jobs:
  t:
    runs-on: x
    steps:
      - run: make lint && tox -e style,type
      - run: inv check-all
      - run: bash scripts/all.sh
      - run: pre-commit run --all-files
"""
EVERYWHERE = {
    ".github/workflows/tests.yaml": CALLS,
    "Makefile": "lint: format\n\tflake8 src\nformat:\n\tblack .\nother:\n\tpylint src\n",
    "tox.ini": (
        "[testenv]\ncommands = pytest\n[testenv:style]\ncommands =\n    isort .\n[testenv:docs]\ncommands = "
        "sphinx-build\n"
    ),
    "tasks.py": "from invoke import task\n\n@task\ndef check_all(ctx):\n    ctx.run(f'mypy {1} src', pty=True)\n",
    "scripts/all.sh": "#!/bin/sh\n\nif true; then\n  ruff check \\\n    .\nfi\n",
    ".pre-commit-config.yaml": (
        "repos:\n  - repo: x\n    hooks:\n      - id: nbstripout\n      - id: own\n        entry: make other\n"
    ),
    "cloudbuild.yaml": "steps:\n- name: gcr.io/cloud-builders/docker\n  args: ['build', '-t', 'x', '.']\n"
    "- name: gcr.io/google.com/cloudsdktool/cloud-sdk\n  args: run deploy x\n- name: bash\n  script: |\n "
    "   echo a\n- text\n",
    "docker-compose.yaml": "services:\n  api:\n    command: [uvicorn, 'app:app']\n  db:\n    image: x\n",
    "pyproject.toml": "[tool.poe.tasks]\nserve = 'fastapi dev'\n",
    "dvc.yaml": "stages:\n  train:\n    cmd: python train.py\n",
    "src/leaves/run.py": "from subprocess import run\nrun(['nnUNetv2_train', '1'] + ['2'])\nrun(x)\n",
}


def _texts(repository: Repository) -> set[tuple[str, str]]:
    return {(command.origin, command.text) for command in repository.commands}


def test_commands_are_found_wherever_they_stand() -> None:
    """In every kind of file that runs some."""
    assert _texts(read_texts(EVERYWHERE)) >= {
        ("task", "isort ."),
        ("task", "mypy {} src"),
        ("task", "fastapi dev"),
        ("task", "python train.py"),
        ("script", "ruff check ."),
        ("hook", "nbstripout"),
        ("cloud build", "docker build -t x ."),
        ("cloud build", "gcloud run deploy x"),
        ("cloud build", "echo a"),
        ("compose", "uvicorn app:app"),
        ("code", "nnUNetv2_train 1 2"),
    }


def test_a_workflows_commands_stand_for_what_they_call() -> None:
    """Through make, tox, invoke, scripts and hooks; what nothing calls stays out."""
    texts = {command.text for command in expanded(list(read_texts(EVERYWHERE).commands), "workflow")}
    assert {"flake8 src", "black .", "isort .", "mypy {} src", "ruff check .", "nbstripout", "pylint src"} <= texts
    assert not {"sphinx-build", "fastapi dev", "docker build -t x ."} & texts


def test_runners_are_no_commands() -> None:
    """What only starts a command is left out, part by part."""
    text = "sudo CI=1 uv run --with x ruff check . && poetry run pytest | tee log; python -m mypy src || # nothing"
    assert parts(text) == ["ruff check .", "pytest", "tee log", "mypy src"]
    installed = "$(BIN)/ruff check . && .venv/bin/python -m pytest; /opt/env/bin/mypy src | ${DATA}/a.txt b/bin/run"
    assert parts(installed) == ["ruff check .", "pytest", "mypy src", "a.txt b/bin/run"]
    command = next(iter(read_texts({"a.sh": text + "\n"}).commands))
    assert [command.runs(pattern) for pattern in ("ruff", "pytest", "mypy", "tee", "src", "ruf")] == [True] * 4 + [
        False
    ] * 2
    assert command.evidence("Runs.").line == 1
