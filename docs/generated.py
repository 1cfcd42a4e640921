"""The reference pages, written from the code at build time: commands, public names, records."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import click

import loopline
from loopline.audit.checklist import ITEMS
from loopline.audit.findings import FINDINGS
from loopline.audit.findings.credentials import hide_credentials
from loopline.audit.rule import FindingRule, ItemRule
from loopline.cli.commands import COMMANDS
from loopline.cli.entry import cli
from loopline.core import records

R = TypeVar("R", FindingRule, ItemRule)


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
    yield f"{_paragraphs(command.help or '')}\n"
    if isinstance(command, click.Group):
        for child in _children(command, context):
            yield from _describe(child, context, level + 1)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```console\n$ {usage}\n```\n"
    yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    listed = (parameter.get_help_record(context) for parameter in command.params)
    # An argument has no text of its own: the command's sentences name it.
    rows = [row for row in listed if row is not None and row[1]]
    if rows:
        yield "| option | does |\n|---|---|"
        for flags, text in rows:
            yield f"| `{_cell(flags)}` | {_cell(text)} |"
        yield ""


def _paragraphs(text: str) -> str:
    """Help as Markdown; click marks paragraphs that keep their lines with a `\\b` on a line of its own."""
    blocks = inspect.cleandoc(text).split("\n\n")
    kept = "\b\n"
    return "\n\n".join(f"```text\n{block[len(kept) :]}\n```" if block.startswith(kept) else block for block in blocks)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


# What functions return that is neither a record nor exported.
RETURNED = (
    "loopline.predictor.Predictor",
    "loopline.predictor.Answer",
    "loopline.predictor.Predicted",
    "loopline.predictor.Engine",
    "loopline.doctor.Check",
    "loopline.demo.walk.DemoReport",
)


def name_reference() -> str:
    """Markdown for every public name of `loopline`, for what its functions return, and for every record."""
    lines = ["```{eval-rst}", ".. py:module:: loopline", ""]
    for name in loopline.__all__:
        value = getattr(loopline, name)
        if inspect.ismodule(value):
            lines += [
                line for inner in value.__all__ for line in _auto(f"loopline.{name}.{inner}", getattr(value, inner))
            ]
        elif callable(value):
            lines += _auto(f"loopline.{name}", value)
    for path in RETURNED:
        module, _, name = path.rpartition(".")
        lines += _auto(path, getattr(importlib.import_module(module), name))
    lines += ["```", "", "## Records", "", "```{eval-rst}"]
    for name in records.__all__:
        kind = getattr(records, name)
        if isinstance(kind, type) and issubclass(kind, records.Record) and kind is not records.Record:
            lines += _record(kind)
    return "\n".join([*lines, "```", ""])


def _auto(path: str, value: object) -> list[str]:
    """The directive of a function or a class; a class stands under the module that defines it, as annotations say."""
    if isinstance(value, type) and issubclass(value, records.Record):
        return list(_record(value))
    if isinstance(value, type):
        return [f".. autoclass:: {value.__module__}.{value.__name__}", "   :members:", ""]
    return [f".. autofunction:: {path}", ""]


def _record(kind: type[records.Record]) -> Iterator[str]:
    yield from (f".. py:class:: {kind.__module__}.{kind.__name__}", "")
    yield from (f"   {line}".rstrip() for line in (kind.__doc__ or "").replace("`", "``").splitlines())
    yield ""
    for name, field in kind.model_fields.items():
        wanted = "required" if field.is_required() else f"default ``{field.get_default(call_default_factory=True)!r}``"
        shown = str(kind.__annotations__[name]).replace("``", "")
        yield f"   * ``{name}``: ``{shown}``, {wanted}"
    yield ""


def rule_reference() -> str:
    """Markdown for every rule of the audit: what it looks for, why, what mends it, its two examples."""
    lines = ["## Findings", ""]
    for category, rules in _grouped(FINDINGS, lambda rule: rule.category).items():
        lines += [f"### {category}", ""]
        for rule in rules:
            lines += [f"#### `{rule.id}`", "", f"**{rule.title}** ({rule.severity}).", "", rule.looks_for, ""]
            lines += [f"*Why.* {rule.why}", "", f"*What mends it.* {rule.fix}", ""]
            past = {f"{file.path} in an old commit": file.text for file in rule.bad_past}
            lines += [*_examples("Is found", {**rule.bad, **past}), *_examples("Is not found", rule.good)]
    lines += ["## Checklist", ""]
    for theme, items in _grouped(ITEMS, lambda rule: rule.theme).items():
        lines += [f"### {theme}", ""]
        for item in items:
            lines += [f"#### `{item.id}`", "", f"**{item.asks}**", "", item.looks_for, ""]
            lines += [f"*Why.* {item.why}", "", f"*How to get there.* {item.fix}", ""]
            if not item.is_checkable:
                lines += ["Files can only hint at it, so it is no part of the score.", ""]
            lines += [*_examples("Done", item.good), *_examples("Not done", item.bad)]
    return "\n".join(lines)


def _grouped(rules: Iterable[R], key: Callable[[R], str]) -> dict[str, list[R]]:
    found: dict[str, list[R]] = {}
    for rule in rules:
        found.setdefault(key(rule), []).append(rule)
    return found


def _examples(heading: str, files: Mapping[str, str]) -> Iterator[str]:
    """Each file of an example as a code block, shortened where it is there for its size; made-up keys stay hidden."""
    for path, text in files.items():
        lines = hide_credentials(text[:2000]).rstrip("\n").splitlines()
        shown = [line[:118] for line in lines[:40]]
        more = [] if len(text) <= 2000 else [f"… {len(text):,} characters"]
        yield from (f"{heading}: `{path}`", "", "~~~~text", *shown, *more, "~~~~", "")


GENERATED = {"cli": command_reference, "api": name_reference, "audit-rules": rule_reference}
