"""The command line, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from loopline.cli import entry


class Ended(NamedTuple):
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def loopline(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Calls a command, as `loopline("bundle", "show", "latest")`."""

    def call(*arguments: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            entry.main([str(argument) for argument in arguments])
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return call
