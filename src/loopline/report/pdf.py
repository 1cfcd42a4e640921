"""A page on paper: a headless browser, where one is installed, prints it to PDF."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from loopline.core.errors import LooplineError, StateError
from loopline.core.store import atomic_file

# In the order in which they are looked for; all of them are Chromium inside and take the same options.
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
    "brave-browser",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
_TIMEOUT_S = 120


def write_pdf(html: str, path: Path) -> None:
    """Prints a page to a PDF file, atomically, within two minutes.

    The browser gets no profile of the user's and no network beyond what the page asks for, which is nothing. Raises
    `StateError` where no browser is installed, `LooplineError` where it does not print.
    """
    browser = find_browser()
    if browser is None:
        raise StateError(
            "no browser to print a PDF with: none of chromium, google-chrome and msedge is on the PATH.",
            next_command="install Chromium, or open the HTML page and print it",
        )
    with tempfile.TemporaryDirectory(prefix="loopline-pdf-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        page, printed = folder / "page.html", folder / "page.pdf"
        page.write_text(html, encoding="utf-8")
        # A container's root may not make a sandbox; the page cannot run anything that one would hold.
        sandbox = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        options = [
            "--headless=new",
            "--disable-gpu",
            "--disable-extensions",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-pdf-header-footer",
        ]
        target = [f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={printed}", page.as_uri()]
        try:
            ended = subprocess.run(  # noqa: S603 - a browser that the user installed, and our own page
                [browser, *sandbox, *options, *target], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise LooplineError(f"'{browser}' did not print the page within {_TIMEOUT_S} s.") from None
        if not printed.is_file():
            said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
            raise LooplineError(f"'{browser}' printed no PDF and ended with {ended.returncode}; it said: {said}")
        with atomic_file(path) as temporary:
            shutil.copyfile(printed, temporary)


def find_browser() -> str | None:
    """The first browser that is installed, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)
