"""A template rendered into a folder, and a folder brought up to date: Copier, told where our template lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loopline.core.errors import InputError, StateError

ANSWERS = ".copier-answers.yml"
# What a project notes as its origin; git is told that the local repository stands for it.
ADDRESS = "https://github.com/loopline/template.git"


def copy_template(repository: Path, folder: Path, answers: Mapping[str, Any], *, asks: bool) -> None:
    """Renders the template into a new folder; what `answers` leaves open is asked on the terminal if `asks`.

    Otherwise the defaults hold. Raises `InputError` for an answer that the template refuses.
    """
    from copier import run_copy

    with _known(repository):
        _call(run_copy, ADDRESS, folder, data=dict(answers), defaults=not asks, quiet=True)


def update_from_template(repository: Path, folder: Path, answers: Mapping[str, Any], *, asks: bool) -> None:
    """Brings a project up to the newest template; what both sides changed is left with conflict markers.

    Raises `StateError` where the project is none of ours, is in no git repository or has changes to commit first.
    """
    from copier import run_update

    if not (folder / ANSWERS).is_file():
        raise StateError(f"'{folder}' holds no '{ANSWERS}', so it came from no template.", next_command="loopline new")
    with _known(repository):
        _call(
            run_update,
            folder,
            data=dict(answers),
            defaults=not asks,
            skip_answered=not asks,
            overwrite=True,
            quiet=True,
            conflict="inline",
        )


def _call(function: Any, *arguments: Any, **options: Any) -> None:
    """Copier's own refusals as ours."""
    from copier.errors import CopierAnswersInterrupt, UserMessageError

    try:
        function(*arguments, **options)
    except CopierAnswersInterrupt:
        raise KeyboardInterrupt from None
    except UserMessageError as error:
        raise StateError(f"{error}", next_command="git status") from None
    except ValueError as error:
        raise InputError(f"{error}", next_command="loopline new --help") from None


@contextmanager
def _known(repository: Path) -> Iterator[None]:
    """Makes git take the repository for the template's address."""
    from plumbum import local

    settings = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.resolve().as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }
    with local.env(**settings):
        yield
