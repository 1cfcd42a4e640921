"""How a check ends, and what becomes of a question that the cloud refuses to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps

from loopline.core.records import PreflightCheck
from loopline.google import ApiRefused
from loopline.preflight.facts import Scene

Check = Callable[[Scene], Iterator[PreflightCheck]]


def passed(name: str, found: str) -> PreflightCheck:
    """All is as it should be."""
    return PreflightCheck(name=name, status="passed", found=found)


def failed(name: str, found: str, *, why: str, fix: str) -> PreflightCheck:
    """What was found, why it cannot stay so, and the one command that mends it."""
    return PreflightCheck(name=name, status="failed", found=found, why=why, fix=fix)


def warned(name: str, found: str, *, why: str, fix: str | None = None) -> PreflightCheck:
    """It works, but somebody should know."""
    return PreflightCheck(name=name, status="warned", found=found, why=why, fix=fix)


def unknown(name: str, found: str, *, fix: str | None = None) -> PreflightCheck:
    """Nobody who asks with these credentials is told."""
    return PreflightCheck(name=name, status="unknown", found=found, fix=fix)


def question(name: str) -> Callable[[Check], Check]:
    """A check that asks the cloud: where even asking is refused, the answer is `unknown` and the others go on.

    An API that is off is a failure of its own (see `check_apis`), and so is a missing permission of ours.
    """

    def decorate(check: Check) -> Check:
        @wraps(check)
        def asked(scene: Scene) -> Iterator[PreflightCheck]:
            try:
                yield from check(scene)
            except ApiRefused as refused:
                yield unknown(name, f"could not be asked: {refused.said.rstrip('.')} ({refused.status})")

        return asked

    return decorate
