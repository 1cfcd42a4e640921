"""Items about continuous integration: what workflows do, on which systems, how fast, and on which events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from loopline.audit.checklist.quality import LINTERS
from loopline.audit.rule import ItemRule, Judgement, done, not_found, partial
from loopline.audit.traces import MOST_EVIDENCE, ci_commands, named, running, shown
from loopline.core.records.audit import Evidence
from loopline.repository import Repository, Workflow, at

THEME = "Continuous integration"
_STARTS = ("push", "pull_request", "pull_request_target", "merge_group")
_CHECKS = (
    rf"pytest|coverage run|unittest|py\.test|tox|nox|mypy|pyright|bandit|make (test|lint|check)\S*|"
    rf"(invoke|inv) (test|lint|check)\S*|{LINTERS}"
)
_LINT_ACTIONS = re.compile(
    r"ruff-action|super-linter|py-actions/flake8|psf/black|isort-action|pre-commit/action|reviewdog|lint|pylint|flake8",
    re.IGNORECASE,
)
_OTHER_SYSTEMS = (
    r"^(\.gitlab-ci\.yml|azure-pipelines\.yml|\.circleci/config\.yml|Jenkinsfile|\.travis\.yml|"
    r"bitbucket-pipelines\.yml|\.drone\.yml)$"
)
_CACHES = re.compile(r"^(actions/cache(/\S+)?|\S*/cache-\S+|\S+/rust-cache|buildjet/cache)$")
# What a matrix has to vary, so that it is the same check elsewhere and not another job.
_VARIES = re.compile(r"os$|system|platform|runner|python|version|torch|tox", re.IGNORECASE)
_REGISTRY = re.compile(r"registry|model|artifact|alias|promot|stag|deploy", re.IGNORECASE)
_MODEL_PATH = re.compile(r"(^|/)models?(/|$|\*)|\.(pt|pth|ckpt|onnx)\b", re.IGNORECASE)


def _check_ci(repository: Repository) -> Judgement:
    """A workflow that starts with a change, can start, and checks something."""
    found, begun = [], []
    lines = ci_commands(repository)
    own = {command.path for command in lines if command.origin == "workflow" and command.runs(_CHECKS)}
    for path, workflow in repository.workflows.items():
        checks = path in own or any(_LINT_ACTIONS.search(step.uses) for step in workflow.steps)
        starts = [event for event in workflow.events if event in _STARTS]
        stuck = [job for job in workflow.jobs if not job.can_start and job.runs_on is not None and not job.is_off]
        if checks and starts:
            found.append(workflow.evidence(None, f"Checks the code on {' and '.join(starts)}."))
        elif stuck:
            begun.append(
                workflow.evidence(stuck[0].line, "Asks for one machine with several systems: it can never start.")
            )
        elif checks:
            begun.append(workflow.evidence(None, "Checks the code, but only when somebody starts it."))
    found += [Evidence(path=path, sentence="Checks the code elsewhere.") for path in named(repository, _OTHER_SYSTEMS)]
    if found:
        return done(*found[:MOST_EVIDENCE])
    return partial(*begun[:1]) if begun else not_found()


def _caches(repository: Repository) -> Iterator[Evidence]:
    for workflow in _starting(repository):
        for step in workflow.steps:
            given = step.arguments
            is_kept = bool(given.get("cache")) and given.get("cache") not in (False, "false", "")
            is_kept = is_kept or str(given.get("enable-cache")).lower() in ("true", "auto") or "cache-from" in given
            if _CACHES.match(step.uses) or (is_kept and step.uses):
                yield workflow.evidence(step.line, f"`{step.uses}` keeps a cache.")


def _matrices(repository: Repository) -> Iterator[Evidence]:
    for workflow in _starting(repository):
        for job in workflow.jobs:
            several = [
                f"{count} of {key}" for key, count in _values(job.matrix).items() if count > 1 and _VARIES.search(key)
            ]
            if several and job.can_start:
                yield workflow.evidence(job.line, f"A matrix: {', '.join(several)}.")


def _values(matrix: Mapping[str, Any]) -> dict[str, int]:
    """How many values each key of a matrix takes, those that `include` adds among them."""
    found = {
        key: list(map(str, values)) for key, values in matrix.items() if isinstance(values, list) and key != "include"
    }
    included = matrix.get("include")
    for entry in included if isinstance(included, list) else []:
        for key, value in entry.items() if isinstance(entry, Mapping) else ():
            found.setdefault(key, []).append(str(value))
    return {key: len(set(values)) for key, values in found.items()}


def _starting(repository: Repository) -> Iterator[Workflow]:
    return (workflow for workflow in repository.workflows.values() if any(job.can_start for job in workflow.jobs))


def _check_cache(repository: Repository) -> Judgement:
    found = list(_caches(repository))[:MOST_EVIDENCE]
    return done(*found) if found else not_found()


def _check_matrix(repository: Repository) -> Judgement:
    found = list(_matrices(repository))[:MOST_EVIDENCE]
    if found:
        return done(*found)
    lists = [
        workflow.evidence(job.line, "`runs-on` with a list asks for one machine that is all of it; that is no matrix.")
        for workflow in repository.workflows.values()
        for job in workflow.jobs
        if isinstance(job.runs_on, list) and len(job.runs_on) > 1
    ]
    return not_found(*lists[:1])


def _check_cache_and_matrix(repository: Repository) -> Judgement:
    caches, matrices = list(_caches(repository))[:1], list(_matrices(repository))[:1]
    if caches and matrices:
        return done(*caches, *matrices)
    return partial(*caches, *matrices) if caches or matrices else not_found()


def _check_lint(repository: Repository) -> Judgement:
    found = list(running(ci_commands(repository), LINTERS))
    found += [
        workflow.evidence(step.line, f"`{step.uses}` checks the style.")
        for workflow in repository.workflows.values()
        for step in workflow.steps
        if _LINT_ACTIONS.search(step.uses)
    ]
    return done(*found[:MOST_EVIDENCE]) if found else not_found()


def _check_registry(repository: Repository) -> Judgement:
    begun = []
    for workflow in repository.workflows.values():
        events = workflow.events
        if "repository_dispatch" in events or "registry_package" in events:
            types = at(events.get("repository_dispatch"), "types")
            if types is None or _REGISTRY.search(str(types)) or "registry_package" in events:
                return done(
                    workflow.evidence(
                        None, f"Starts on `repository_dispatch` {shown(str(types or ''))}.".replace(" .", ".")
                    )
                )
        for event in _STARTS:
            paths = at(events.get(event), "paths")
            begun += [
                workflow.evidence(None, f"Starts where `{pattern}` changes, which is no registry.")
                for pattern in (paths if isinstance(paths, list) else [])
                if _MODEL_PATH.search(str(pattern)) and not re.search(r"\.py$|^(src|tests)/", str(pattern))
            ]
    return partial(*begun[:1]) if begun else not_found()


_TESTS = """on: [push]
jobs:
  test:
    runs-on: ${{ matrix.os }}
    strategy:
      matrix:
        os: [ubuntu-latest, windows-latest]
    steps:
      - uses: actions/setup-python@v6
        with:
          cache: pip
      - run: pytest tests
"""
_NO_MATRIX = (
    "on: [push]\njobs:\n  test:\n    runs-on: [ubuntu-latest, windows-latest]\n    steps:\n      - run: pytest tests\n"
)
_PLAIN = "on: [push]\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: pytest tests\n"
_DISPATCH = (
    "on:\n  repository_dispatch:\n    types: [staged_model]\njobs:\n  test:\n    runs-on: ubuntu-latest\n    "
    "steps:\n      - run: pytest tests\n"
)
_TESTS_PATH = ".github/workflows/tests.yaml"

RULES = (
    ItemRule(
        id="ci",
        theme=THEME,
        asks="A change is checked by itself.",
        wording=r"continu\w* integration running",
        looks_for="A workflow on push or pull request that can start, and runs tests or a linter; one that cannot "
        "start, "
        "or only by hand, is partial.",
        why="A check that somebody must remember is not done the one time it matters.",
        fix="Add a workflow that runs pytest on push.",
        good={_TESTS_PATH: _PLAIN},
        bad={_TESTS_PATH: _NO_MATRIX},
        check=_check_ci,
    ),
    ItemRule(
        id="ci_cache",
        theme=THEME,
        asks="CI keeps what it downloaded.",
        wording=None,
        looks_for="actions/cache, or a set-up step that is told to keep a cache.",
        why="A check that takes minutes longer is waited for less.",
        fix="actions/setup-python with cache: pip, or setup-uv with enable-cache: true.",
        good={_TESTS_PATH: _TESTS},
        bad={_TESTS_PATH: _PLAIN},
        check=_check_cache,
    ),
    ItemRule(
        id="ci_matrix",
        theme=THEME,
        asks="CI checks on several systems or versions.",
        wording=None,
        looks_for="`strategy.matrix` with more than one value; a list under `runs-on` is no matrix.",
        why="What runs here need not run there.",
        fix="strategy: matrix: os: [ubuntu-latest, windows-latest].",
        good={_TESTS_PATH: _TESTS},
        bad={_TESTS_PATH: _NO_MATRIX},
        check=_check_matrix,
    ),
    ItemRule(
        id="ci_cache_matrix",
        theme=THEME,
        asks="CI keeps a cache, and checks on several systems or versions.",
        wording=r"add caching and multi",
        looks_for="Both a cache and a matrix; one of them is partial.",
        why="As for each of the two.",
        fix="Add what is missing.",
        good={_TESTS_PATH: _TESTS},
        bad={_TESTS_PATH: _NO_MATRIX},
        check=_check_cache_and_matrix,
    ),
    ItemRule(
        id="ci_lint",
        theme=THEME,
        asks="CI checks the style.",
        wording=r"linting step",
        looks_for="A linter, formatter or all hooks in a workflow, through make, tox or tasks as well.",
        why="A rule that nothing checks is a wish.",
        fix="Add a step that runs `ruff check .`.",
        good={_TESTS_PATH: _PLAIN.replace("pytest tests", "ruff check .")},
        bad={_TESTS_PATH: _PLAIN},
        check=_check_lint,
    ),
    ItemRule(
        id="wf_registry",
        theme=THEME,
        asks="A workflow starts when the model registry changes.",
        wording=r"changes to the model registry",
        looks_for="`repository_dispatch`, which registries send, in a workflow; a path filter on a models folder is "
        "partial.",
        why="A model that is promoted without a test is served without one.",
        fix="Send a repository_dispatch from the registry's webhook and test the model in its workflow.",
        good={".github/workflows/model.yaml": _DISPATCH},
        bad={".github/workflows/model.yaml": _PLAIN},
        check=_check_registry,
    ),
)
