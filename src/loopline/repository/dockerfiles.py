"""Dockerfiles as instructions with lines: continuations, here-documents, comments and the escape directive."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_NAMES = re.compile(r"(^|[._-])(docker|container)file([._-]|$)|\.(docker|container)file$", re.IGNORECASE)
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)(\s+(.*))?$", re.DOTALL)
_KNOWN = re.compile(
    "ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|VOLUME|"
    "WORKDIR"
)


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its text on one line, and the line it begins on."""

    name: str
    text: str
    line: int

    @property
    def words(self) -> Sequence[str]:
        """The arguments: those of the JSON form, or the words of the shell form."""
        if self.text.startswith("["):
            try:
                words = json.loads(self.text)
            except ValueError:
                return self.text.split()
            return [str(word) for word in words] if isinstance(words, list) else self.text.split()
        return self.text.split()


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile: its instructions in order."""

    path: str
    instructions: tuple[Instruction, ...]

    def of(self, *names: str) -> list[Instruction]:
        """The instructions of these names."""
        return [instruction for instruction in self.instructions if instruction.name in names]


def is_dockerfile(path: str) -> bool:
    """Whether a file is named as a Dockerfile: `Dockerfile`, `Dockerfile.gpu`, `train.dockerfile`."""
    name = PurePosixPath(path).name
    return bool(_NAMES.search(name)) and not name.lower().endswith((".dockerignore", ".md", ".py", ".yaml", ".yml"))


def parse_dockerfile(path: str, text: str) -> Dockerfile:
    """The instructions of a Dockerfile; lines that are none are left out."""
    lines = text.split("\n")
    directive = re.match(r"(?:#.*\n)*?#\s*escape\s*=\s*(`)", text, re.IGNORECASE)
    escape = "`" if directive else "\\"
    instructions = []
    index = 0
    while index < len(lines):
        start = index
        parts: list[str] = []
        while index < len(lines):
            line = lines[index].rstrip()
            index += 1
            if line.lstrip().startswith("#") or (parts and not line):  # comments may stand between continued lines
                if not parts:
                    break
                continue
            parts.append(line.removesuffix(escape).strip())
            if not line.endswith(escape):
                break
        match = _INSTRUCTION.match(" ".join(parts))
        if match is None or not _KNOWN.fullmatch(match[1].upper()):
            continue
        body, index = _here_documents(match[3] or "", lines, index)
        instructions.append(Instruction(match[1].upper(), body.strip(), start + 1))
    return Dockerfile(path, tuple(instructions))


def _here_documents(text: str, lines: list[str], index: int) -> tuple[str, int]:
    """The instruction with its here-documents, and the line after them."""
    body = text
    for _, name in re.findall(r"<<-?([\"']?)(\w+)\1", text):
        end = next((at for at in range(index, len(lines)) if lines[at].strip() == name), None)
        if end is None:
            return body, index
        body = " ; ".join([body, *(line.strip() for line in lines[index:end])])
        index = end + 1
    return body, index
