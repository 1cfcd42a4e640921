"""Coverage is measured by running a project's own tests, in its own environment, and only when somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loopline import reporting
from loopline.core.errors import InputError, LooplineError, StateError
from loopline.report import measure_coverage
from loopline.report.coverage import percent_covered

SHOP = """def price(number):
    if number > 10:
        return 9 * number
    return 10 * number
"""
TESTS = """from shop import price

def test_price():
    assert price(1) == 10
"""


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests that are run here load no plug-in of this environment but the one that measures: they start sooner."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "pytest_cov.plugin")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A package of four statements and a test that covers three of them."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / ".coveragerc").write_text("[run]\ninclude = shop.py\n")
    return tmp_path


def environment(project: Path, *, without: str = "") -> Path:
    """The project's own environment: a Python that finds what this one finds, but for one package."""
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    hide = f"import sys; sys.modules['{without}'] = None" if without else ""
    (project / ".venv" / "sitecustomize.py").write_text(hide)
    python.write_text(
        f'#!/bin/sh\necho used > "{project}/used"\nPYTHONPATH="{project}/.venv" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    return python


needs_posix = pytest.mark.skipif(os.name != "posix", reason="the environment here is a shell script")


@needs_posix
@pytest.mark.parametrize(
    ("missing", "command"), [("", "python -m pytest --cov"), ("pytest_cov", "python -m coverage run -m pytest")]
)
def test_the_projects_own_environment_runs_the_tests(
    project: Path, monkeypatch: pytest.MonkeyPatch, missing: str, command: str
) -> None:
    """Through pytest-cov, else through coverage; no file of either stays in the project."""
    if missing:
        monkeypatch.delenv("PYTEST_PLUGINS")
    environment(project, without=missing)
    before = {path.name for path in project.iterdir()}
    measured = measure_coverage(project)
    assert (measured.percent, measured.command, measured.all_passed) == (75.0, command, True)
    assert (project / "used").exists()
    left = {path.name for path in project.iterdir()} - before
    assert left <= {"used", "__pycache__", ".pytest_cache"}


def test_failing_tests_are_told(project: Path) -> None:
    """They still cover lines."""
    (project / "test_shop.py").write_text(TESTS.replace("== 10", "== 11"))
    measured = measure_coverage(project)
    assert (measured.percent, measured.all_passed) == (75.0, False)


def test_tests_that_measure_nothing_are_refused(project: Path) -> None:
    """None at all, or none that can be collected."""
    (project / "test_shop.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(LooplineError, match="measured nothing: they ended with 2 and said: "):
        measure_coverage(project)
    (project / "test_shop.py").unlink()
    with pytest.raises(LooplineError, match="measured nothing: there are none"):
        measure_coverage(project)
    with pytest.raises(InputError, match="a time-out of 0 s; expected more than 0"):
        measure_coverage(project, timeout_s=0)


@needs_posix
def test_an_environment_without_pytest_says_what_to_install(project: Path) -> None:
    """With the Python that was looked at."""
    python = environment(project, without="pytest")
    with pytest.raises(StateError, match=f"'{python}', the project's Python, has no pytest. Next: {python} -m pip"):
        measure_coverage(project)


@needs_posix
def test_no_process_is_left_after_the_time(project: Path) -> None:
    """Nor one that the tests started; a shell script stands for a Python whose tests hang."""
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    hang = f'sleep 600 & echo $! > "{project}/child"; wait'
    python.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo pytest pytest_cov; else {hang}; fi\n')
    python.chmod(0o755)
    with pytest.raises(LooplineError, match="did not end within 2 s"):
        measure_coverage(project, timeout_s=2)
    child = int((project / "child").read_text())
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s and is_alive(child):
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(process_id: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"totals": 1}', '{"totals": {"percent_covered": "9"}}', '{"totals": {"percent_covered": true}}'],
)
def test_what_is_no_report_has_no_percent(text: str) -> None:
    """Whatever the text."""
    assert percent_covered(text) is None


def test_fill_runs_tests_only_when_asked(project: Path) -> None:
    """The figure stands in the draft with its command; otherwise the tests are not run."""
    (project / "test_shop.py").write_text(TESTS + "    open('ran', 'w').close()\n    assert False\n")
    reporting.new(project, title="Shop")
    assert "`loopline report fill --coverage` runs the tests." in reporting.fill(project).text
    assert not (project / "ran").exists()
    text = reporting.fill(project, coverage=True).text
    assert (project / "ran").exists()
    assert "- The tests cover 75% of the lines. (`python -m pytest --cov`)" in text
    assert "- Some of the tests failed while this was measured." in text
