"""The reference pages, written from the code at build time: commands, public names, records."""

from __future__ import annotations

from collections.abc import Iterator

import click

import loopline
from loopline.cli.commands import COMMANDS
from loopline.cli.entry import cli
from loopline.core import records


def command_reference() -> str:
    """Markdown for every command: its sentence, how it is called, its options."""
    parts = []
    stages = {row.name: row.stage for row in COMMANDS}
    stage = ""
    root = click.Context(cli, info_name="loopline")
    for command in _children(cli, root):
        if stages[command.name or ""] != stage:
            stage = stages[command.name or ""]
            parts.append(f"## {stage}\n")
        parts += _describe(command, root, 3)
    parts.append("## Options before every command\n")
    parts += _options(cli, root)
    return "\n".join(parts)


def _children(group: click.Group, context: click.Context) -> list[click.Command]:
    found = [group.get_command(context, name) for name in group.list_commands(context)]
    return [command for command in found if command is not None]


def _describe(command: click.Command, parent: click.Context, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=parent)
    yield f"{'#' * level} `{context.command_path}`\n"
    yield f"{(command.help or '').strip()}\n"
    if isinstance(command, click.Group):
        for child in _children(command, context):
            yield from _describe(child, context, level + 1)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```console\n$ {usage}\n```\n"
    yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records_of_help = (parameter.get_help_record(context) for parameter in command.params)
    rows = [row for row in records_of_help if row is not None]
    if rows:
        yield "| option | does |\n|---|---|"
        for flags, text in rows:
            yield f"| `{_cell(flags)}` | {_cell(text)} |"
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def name_reference() -> str:
    """Markdown for every public name of `loopline` and for every record."""
    parts = ["```{eval-rst}", ".. py:module:: loopline", ""]
    for name in loopline.__all__:
        value = getattr(loopline, name)
        if isinstance(value, type):
            parts += [f".. autoclass:: {value.__module__}.{value.__name__}", ""]
        elif name == "data":
            parts += [line for inner in value.__all__ for line in (f".. autofunction:: loopline.data.{inner}", "")]
        elif callable(value):
            parts += [f".. autofunction:: loopline.{name}", ""]
    parts += ["```", "", "## Records", "", "```{eval-rst}"]
    for name in records.__all__:
        kind = getattr(records, name)
        if isinstance(kind, type) and issubclass(kind, records.Record) and kind is not records.Record:
            parts += _record(kind)
    return "\n".join([*parts, "```", ""])


def _record(kind: type[records.Record]) -> Iterator[str]:
    yield from (f".. py:class:: {kind.__module__}.{kind.__name__}", "")
    yield from (f"   {line}".rstrip() for line in (kind.__doc__ or "").replace("`", "``").splitlines())
    yield ""
    for name, field in kind.model_fields.items():
        wanted = "required" if field.is_required() else f"default ``{field.get_default(call_default_factory=True)!r}``"
        shown = str(kind.__annotations__[name]).replace("``", "")
        yield f"   * ``{name}``: ``{shown}``, {wanted}"
    yield ""


GENERATED = {"cli": command_reference, "api": name_reference}
