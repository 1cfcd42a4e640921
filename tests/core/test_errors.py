"""The sentences that errors are, and the tree they form."""

from __future__ import annotations

import pytest

from loopline.core import errors


def test_an_unknown_name_lists_the_known_ones_and_the_closest() -> None:
    """A mistyped name gives what was given, what is known, and the likely meaning."""
    error = errors.UnknownName("alias", "champoin", ["champion", "challenger"], next_command="loopline models fashion")
    assert error.message == ("alias 'champoin' does not exist; known: challenger, champion. Did you mean 'champion'?")
    assert str(error) == f"{error.message} Next: loopline models fashion"
    assert (error.kind, error.given, error.known) == ("alias", "champoin", ["challenger", "champion"])


def test_an_unknown_name_where_there_is_none_says_so() -> None:
    """An empty table is no list with nothing in it."""
    assert str(errors.UnknownName("run", "7", [])) == "run '7' does not exist; there is none yet."


def test_a_long_list_is_cut() -> None:
    """Of many names the first twenty are shown, with the number of all."""
    message = errors.UnknownName("run", "nothing-like-it", [f"{index:03d}" for index in range(50)]).message
    assert "019, … (50 in all)" in message
    assert "020" not in message


def test_nothing_is_guessed_where_nothing_is_alike() -> None:
    """A guess is only made when it is likely."""
    assert errors.closest("zebra", ["champion"]) is None


@pytest.mark.parametrize(
    ("kind", "built_in"),
    [
        (errors.InputError, ValueError),
        (errors.ConfigError, errors.InputError),
        (errors.InvalidExample, errors.InputError),
        (errors.UnknownName, LookupError),
        (errors.SkewError, errors.IntegrityError),
        (errors.MissingExtra, ImportError),
        (errors.GateRefused, errors.LooplineError),
        (errors.StateError, errors.LooplineError),
    ],
)
def test_the_tree_is_as_it_is_drawn(kind: type[Exception], built_in: type[Exception]) -> None:
    """Each error is also the built-in that it resembles, so that a broad handler catches it."""
    assert issubclass(kind, built_in)
    assert issubclass(kind, errors.LooplineError)


def test_every_error_is_in_the_drawing() -> None:
    """The tree at the top of the module shows every class."""
    drawn = errors.__doc__ or ""
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert [kind.__name__ for kind in classes if kind.__name__ not in drawn] == []


def test_a_missing_package_gives_its_install_line() -> None:
    """A failed import of an optional package becomes one sentence with the command to type."""
    extra = errors.missing_extra(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))
    assert extra is not None
    assert extra.message == "this needs the package 'torch', which is not installed."
    assert extra.next_command == "pip install 'loopline[train]'"


@pytest.mark.parametrize("name", ["loopline.nothing", None])
def test_a_missing_module_of_ours_is_no_missing_extra(name: str | None) -> None:
    """A defect of ours keeps its own error."""
    assert errors.missing_extra(ModuleNotFoundError("no", name=name)) is None
