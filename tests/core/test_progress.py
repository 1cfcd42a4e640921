"""Progress bars, looked at through a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from loopline.core.progress import bar, track

PROGRAM = """
import sys
from loopline.core.progress import track
assert sys.stderr.isatty() == (sys.argv[1] == "terminal")
print(sum(track(range(5), "counting")))
print(sum(track((value for value in range(5)), "counting", total=5)))
"""


def test_without_a_terminal_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A log file or a pipe is not filled with bars, and every item still comes."""
    assert list(track([1, 2, 3], "counting")) == [1, 2, 3]
    with bar("counting", total=None) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are a thing of POSIX systems")
def test_on_a_terminal_the_bar_reaches_its_total() -> None:
    """On a terminal the bar shows the description and counts to the end, on standard error only."""
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "terminal"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        text=True,
    ) as process:
        os.close(theirs)
        shown = _read_all(ours)
        out, _ = process.communicate()
    assert out == "10\n10\n"
    assert "counting" in shown
    assert shown.count("5/5") >= 2


def _read_all(descriptor: int) -> str:
    pieces = []
    while True:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:  # Linux says EIO where the other end of a pseudo-terminal is closed, macOS an empty read
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode()
