"""A page goes to paper through a browser, or a sentence says why not. Small programs stand for browsers here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loopline import reporting
from loopline.core.errors import LooplineError, StateError
from loopline.report import find_browser, write_pdf

needs_posix = pytest.mark.skipif(os.name != "posix", reason="the browsers here are shell scripts")


def browser(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Puts a program in the browser's place, the only one that is found."""
    program = folder / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("loopline.report.pdf.BROWSERS", (str(program),))
    return program


@needs_posix
def test_what_the_browser_prints_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a folder of its own: the last argument is the page, and the profile is nobody's."""
    script = 'for a; do case "$a" in --print-to-pdf=*) out="${a#*=}";; file:*) page="${a#file://}";; esac; done\n'
    script += f'echo "$@" > {tmp_path}/asked\n(echo %PDF-1.4; cat "$page") > "$out"'
    browser(tmp_path, monkeypatch, script)
    assert find_browser() == str(tmp_path / "chromium")
    write_pdf("<p>Ø</p>", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_text(encoding="utf-8") == "%PDF-1.4\n<p>Ø</p>"
    asked = (tmp_path / "asked").read_text()
    assert "--headless=new" in asked
    assert "--user-data-dir=" in asked
    assert ("--no-sandbox" in asked) == (os.geteuid() == 0)


@needs_posix
def test_a_browser_that_prints_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said last; and no file is left."""
    program = browser(tmp_path, monkeypatch, "echo first >&2; echo no display >&2; exit 7")
    expected = f"'{program}' printed no PDF and ended with 7; it said: no display"
    with pytest.raises(LooplineError, match=expected):
        write_pdf("<p>", tmp_path / "page.pdf")
    assert not (tmp_path / "page.pdf").exists()


@needs_posix
def test_a_browser_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that it gets."""
    browser(tmp_path, monkeypatch, "exec sleep 60")
    monkeypatch.setattr("loopline.report.pdf._TIMEOUT_S", 0.2)
    with pytest.raises(LooplineError, match=r"did not print the page within 0\.2 s"):
        write_pdf("<p>", tmp_path / "page.pdf")


def test_without_a_browser_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No browser, no PDF, no half a file; the same from the report's own function."""
    monkeypatch.setattr("loopline.report.pdf.BROWSERS", ("no-browser-of-this-name",))
    with pytest.raises(StateError, match=r"no browser to print a PDF with.*Next: install Chromium"):
        write_pdf("<p>", tmp_path / "page.pdf")
    reporting.new(tmp_path)
    with pytest.raises(StateError, match="no browser to print a PDF with"):
        reporting.html(tmp_path, pdf=True)
    assert reporting.html(tmp_path, output=tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype")
    assert not list(tmp_path.rglob("*.pdf"))
