"""Items about images: what they are made of, and what builds them."""

from __future__ import annotations

import re

from loopline.audit.rule import ItemRule, Judgement, cannot_be_seen, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, ci_commands
from loopline.core.records.audit import Evidence
from loopline.repository import Command, Repository

THEME = "Containers"
_BUILDS = (
    r"docker (buildx )?build|docker[ -]compose( \S+)* build|docker-compose( \S+)* build|podman build|buildah|"
    r"gcloud builds submit|kaniko"
)
_BUILDS_IMAGE = (
    r"docker (buildx )?build|docker[ -]compose( \S+)* build|kaniko\S*|executor|pack build|gcloud builds submit"
)
_BUILD_ACTIONS = re.compile(
    r"docker/build-push-action|docker/bake-action|push-to-gcr|kaniko|build-and-push|elgohr/Publish-Docker",
    re.IGNORECASE,
)
# What stands in an example where a name should be.
_PLACEHOLDER = re.compile(r"<[^>]+>|\byour[-_](project|registry|image|repo)|PROJECT_NAME_HERE", re.IGNORECASE)
_AUTOMATIC = (
    "push",
    "pull_request",
    "schedule",
    "release",
    "workflow_run",
    "repository_dispatch",
    "create",
    "pull_request_target",
)


def _check_files(repository: Repository) -> Judgement:
    whole, begun = [], []
    for path, dockerfile in repository.dockerfiles.items():
        bases = dockerfile.of("FROM")
        if bases and dockerfile.of("RUN", "COPY", "ADD"):
            whole.append(Evidence(path=path, line=bases[0].line, sentence="An image's recipe."))
        else:
            begun.append(Evidence(path=path, sentence="A recipe that puts nothing into the image."))
    if whole:
        return done(*whole[:MOST_EVIDENCE])
    return partial(*begun[:1]) if begun else not_found()


def _check_built(repository: Repository) -> Judgement:
    built = [command for command in ci_commands(repository) if command.runs(_BUILDS)]
    actions = [
        workflow.evidence(step.line, "A workflow builds the image.")
        for workflow in repository.workflows.values()
        for step in workflow.steps
        if _BUILD_ACTIONS.search(step.uses)
    ]
    evidence = [*actions, *(command.evidence("A workflow builds the image.") for command in built)]
    return done(*evidence[:MOST_EVIDENCE]) if evidence else cannot_be_seen()


def _check_trigger(repository: Repository) -> Judgement:
    """Cloud Build's own file, whose trigger lives in the console, or a workflow that starts by itself."""
    found: list[Evidence] = []
    begun: list[Evidence] = []
    for command in repository.commands:
        if command.origin == "cloud build" and command.runs(_BUILDS_IMAGE):
            (begun if _PLACEHOLDER.search(command.text) else found).append(_built_by(command))
    for path, config in repository.configs.items():
        if config.get("steps") and config.get("images") and not any(e.path == path for e in (*found, *begun)):
            begun.append(Evidence(path=path, sentence="Names images; no step builds one."))
    for workflow in repository.workflows.values():
        steps = [step for step in workflow.steps if _BUILD_ACTIONS.search(step.uses)]
        lines = [step.line for step in steps]
        lines += [c.line for c in ci_commands(repository) if c.path == workflow.path and c.runs(_BUILDS)]
        if lines:
            starts = [event for event in workflow.events if event in _AUTOMATIC]
            sentence = f"Builds an image on {' and '.join(starts) or 'demand only'}."
            (found if starts else begun).append(workflow.evidence(lines[0], sentence))
    if found:
        return done(*found[:MOST_EVIDENCE])
    return partial(*begun[:MOST_EVIDENCE]) if begun else not_found()


def _built_by(command: Command) -> Evidence:
    hole = _PLACEHOLDER.search(command.text)
    return command.evidence(f"Cloud Build builds an image{', whose name is not filled in' if hole else ''}.")


_BUILD_WORKFLOW = """on:
  push:
    branches: [main]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - run: docker build -f dockerfiles/train.dockerfile -t leaves:latest .
"""

RULES = (
    ItemRule(
        id="dockerfiles",
        theme=THEME,
        asks="Images are described by Dockerfiles.",
        wording=r"construct one or multiple docker",
        looks_for="A Dockerfile with a base, into which something is copied or installed.",
        why="What runs in an image runs on every machine.",
        fix="Write one Dockerfile for training and one for serving.",
        good={"train.dockerfile": "FROM python:3.12-slim\nCOPY src src\nRUN pip install .\n"},
        bad={"train.dockerfile": "# FROM python:3.12-slim\n"},
        check=_check_files,
    ),
    ItemRule(
        id="docker_built",
        theme=THEME,
        asks="The images have been built and work.",
        wording=r"build the docker files locally",
        looks_for="A workflow that builds them; what somebody did at home cannot be seen.",
        why="A recipe that nobody cooked is a guess.",
        fix="Build the images in CI.",
        good={".github/workflows/build.yaml": _BUILD_WORKFLOW},
        bad={"train.dockerfile": "FROM python:3.12-slim\nCOPY src src\n"},
        is_checkable=False,
        check=_check_built,
    ),
    ItemRule(
        id="docker_trigger",
        theme=THEME,
        asks="Images are built by themselves when the code changes.",
        wording=r"trigger workflow for automatically building",
        looks_for="A Cloud Build file with a step that builds an image of a real name, or a workflow that builds "
        "one on "
        "push; one that only starts by hand, or has placeholders, is partial.",
        why="An image that somebody must remember to build is old.",
        fix="Add a cloudbuild.yaml and its trigger, or a workflow with docker/build-push-action.",
        good={".github/workflows/build.yaml": _BUILD_WORKFLOW},
        bad={
            ".github/workflows/build.yaml": _BUILD_WORKFLOW.replace("push:\n    branches: [main]", "workflow_dispatch:")
        },
        check=_check_trigger,
    ),
)
