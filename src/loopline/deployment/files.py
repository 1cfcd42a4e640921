"""Files that people read as well as programs: YAML, keys in the order in which they were written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):  # type: ignore[misc] # PyYAML has no types
    """Indents lists inside mappings, as people do; repeats a value instead of naming it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def yaml_text(*documents: Any, about: str = "") -> str:
    """Documents as one YAML text, below a comment."""
    parts = [yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120) for document in documents]
    comment = "".join(f"# {line}\n" for line in about.splitlines())
    return comment + "---\n".join(parts)


def read_yaml(text: str) -> Sequence[Any]:
    """The documents of a YAML text, as plain values."""
    return list(yaml.safe_load_all(text))
