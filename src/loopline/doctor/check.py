"""`Check`: what one look at the machine found."""

from __future__ import annotations

from typing import Literal

from loopline.core.records import Record


class Check(Record):
    """What was found under a name, whether it is well, and the command that mends it, or brings what is absent."""

    name: str
    status: Literal["ok", "warning", "problem"]
    found: str
    next_command: str | None = None


def ok(name: str, found: str, next_command: str | None = None) -> list[Check]:
    """A finding that needs nothing."""
    return [Check(name=name, status="ok", found=found, next_command=next_command)]


def warning(name: str, found: str, next_command: str) -> list[Check]:
    """A finding that limits some stage."""
    return [Check(name=name, status="warning", found=found, next_command=next_command)]


def problem(name: str, found: str, next_command: str) -> list[Check]:
    """A finding with which some stage cannot work."""
    return [Check(name=name, status="problem", found=found, next_command=next_command)]
