"""What a path says about a file: somebody else's code, generated, given up, a test; one place that decides it."""

from __future__ import annotations

import re

_VENDORED = re.compile(
    r"(^|/)(vendor|vendored|third[_-]?party|external|node_modules|bower_components|site-packages|dist-packages|"
    r"\.?v?env|\.virtualenv|\.tox|\.nox|\.eggs|[^/]+\.egg-info|[^/]+\.dist-info|__pycache__|wheels)/",
    re.IGNORECASE,
)
_GENERATED = re.compile(
    r"(^|/)(\.?mypy_cache|\.ruff_cache|\.pytest_cache|\.ipynb_checkpoints|htmlcov|site|_build|build|dist|"
    r"wandb/(offline-)?run-[^/]+|wandb/latest-run|lightning_logs|mlruns|outputs/\d{4}-\d\d-\d\d|multirun|\.hydra|"
    r"\.dvc/(tmp|cache)|\.idea|\.vscode|\.vs)/|_pb2(_grpc)?\.py$|\.min\.(js|css)$|(^|/)\.hydra/",
    re.IGNORECASE,
)
_DEPRECATED = re.compile(
    r"(^|/)(deprecated|_?legacy|obsolete|archived?|attic|unused|not[_-]used|old([_-][^/]*)?|[^/]*[_-]old|backup|bak|"
    r"trash|graveyard|junk)(/|\.py$|\.ya?ml$|\.ipynb$)",
    re.IGNORECASE,
)
_TEST = re.compile(r"(^|/)(tests?|[^/]*[_-]tests?)/|(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$", re.IGNORECASE)
# The checker that comes with a report's template; it is no work of the project.
_REPORT_TOOL = re.compile(r"^(.*/)?reports?/report\.py$|^report\.py$", re.IGNORECASE)

# What Copier and Cookiecutter ask whoever makes a project of a template; at the root, the repository is the template.
_QUESTIONS = re.compile(r"^(.+/)(copier\.ya?ml|cookiecutter\.json)$")


def is_vendored(path: str) -> bool:
    """Somebody else's code, copied into the repository."""
    return bool(_VENDORED.search(path))


def is_generated(path: str) -> bool:
    """What a program wrote and nobody edits."""
    return bool(_GENERATED.search(path))


def is_deprecated(path: str) -> bool:
    """Given up: in a folder or a file that is called old, legacy, deprecated, unused."""
    return bool(_DEPRECATED.search(path))


def is_test(path: str) -> bool:
    """A test, or a file that tests share."""
    return bool(_TEST.search(path))


def is_report_tool(path: str) -> bool:
    """The script that a course hands out to check reports."""
    return bool(_REPORT_TOOL.search(path))


def template_folder(path: str) -> str | None:
    """The folder, with its last slash, of a template for other projects, where `path` is the file of its questions."""
    found = _QUESTIONS.match(path)
    return found[1] if found else None


def is_own(path: str) -> bool:
    """The project's own live work: none of vendored, generated, given up, handed out."""
    return not (is_vendored(path) or is_generated(path) or is_deprecated(path) or is_report_tool(path))
