"""Makefiles as targets with their commands."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_TARGET = re.compile(r"^([A-Za-z0-9_.$(){}/% -]+?)\s*::?(?![=:])\s*(.*)$")


@dataclass(frozen=True)
class Target:
    """One target: its name, what it needs first, its commands, and the line it begins on."""

    path: str
    name: str
    needs: tuple[str, ...]
    commands: tuple[str, ...]
    line: int


def parse_makefile(path: str, text: str) -> list[Target]:
    """The targets of a Makefile in order; special ones such as `.PHONY` are left out."""
    targets: list[Target] = []
    number = 1
    for joined in text.replace("\\\n", "\0").split("\n"):
        start, number = number, number + 1 + joined.count("\0")
        line = joined.replace("\0", " ")
        if line.startswith("\t"):
            command = line.strip().lstrip("@-+").strip()
            if targets and command and not command.startswith("#"):
                targets[-1] = replace(targets[-1], commands=(*targets[-1].commands, command))
        elif match := _TARGET.match(line.split("#")[0].rstrip()):
            needs, _, command = match[2].partition(";")
            commands = (command.strip(),) if command.strip() else ()
            targets.extend(Target(path, name, tuple(needs.split()), commands, start) for name in match[1].split())
    return [target for target in targets if not re.fullmatch(r"\.[A-Z_]+", target.name)]
