"""The public surface is frozen: a new name or flag is a decision that shows in the diff.

`make freeze` accepts the present surface.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import loopline
from loopline.cli.commands import COMMANDS
from loopline.cli.entry import cli

FROZEN = Path(__file__).parent / "frozen"


def compare(name: str, lines: list[str]) -> None:
    """Compares the lines with a frozen file, or writes it where FREEZE is set."""
    path = FROZEN / name
    text = "".join(f"{line}\n" for line in lines)
    if os.environ.get("FREEZE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name} differs. Next, if it should: make freeze"


def commands(command: click.Command, path: str = "loopline") -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}")


def test_the_exported_names_are_frozen() -> None:
    """`loopline` exports what the frozen list says, and every name of it can be had."""
    compare("exports.txt", sorted(loopline.__all__))
    assert [name for name in dir(loopline) if getattr(loopline, name, None) is None] == []


def test_an_exported_function_stays_one_when_its_room_is_imported() -> None:
    """Importing the package `loopline.export` does not put it in the place of the function `loopline.export`."""
    program = """
import importlib, pkgutil, loopline
for module in pkgutil.iter_modules(loopline.__path__):
    if module.name != "__main__":
        importlib.import_module(f"loopline.{module.name}")
functions = set(loopline.__all__) - {"__version__", "data", "reporting"}
assert [name for name in functions if not callable(getattr(loopline, name))] == []
from loopline.export import export_bundle
assert callable(loopline.export)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_export_lists_the_known_ones() -> None:
    """A mistyped name is refused with the names that exist."""
    expected = "module 'loopline' has no attribute 'trian'; it has: LooplineError, Workspace,"
    with pytest.raises(AttributeError, match=expected):
        loopline.trian  # noqa: B018 - the attribute's absence is what is tested


def test_the_flags_are_frozen() -> None:
    """Every command's arguments and options are those of the frozen list."""
    lines = []
    for path, command in commands(cli):
        words = []
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                words.append((parameter.name or "").upper())
            else:
                words.append("/".join([*parameter.opts, *parameter.secondary_opts]))
        lines.append(" ".join([path, *words]))
    compare("flags.txt", lines)


def test_every_command_and_option_is_described() -> None:
    """Help never leaves a command or an option without a sentence."""
    silent = []
    for path, command in commands(cli):
        if not command.help:
            silent.append(path)
        options = [option for option in command.params if isinstance(option, click.Option)]
        silent += [f"{path} {option.opts[0]}" for option in options if not option.help]
    assert silent == []


def test_the_table_names_every_command_as_it_is_named() -> None:
    """The table of commands, which the help prints, and the commands agree on their names."""
    context = click.Context(cli)
    for row in COMMANDS:
        command = cli.get_command(context, row.name)
        assert command is not None
        assert command.name == row.name
