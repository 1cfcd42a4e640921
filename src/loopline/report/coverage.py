"""Runs a project's own tests in its own environment and measures what they cover; only ever because somebody asked."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loopline.core.errors import InputError, LooplineError, StateError

TIMEOUT_S = 1800.0
_ASK_TIMEOUT_S = 60.0
_ENVIRONMENTS = (".venv", "venv", "env", ".env")
_PYTHONS = ("bin/python", "Scripts/python.exe")
_MEASURES_US = ("COVERAGE_", "COV_CORE_")
# What pytest's exit codes mean here: tests that fail still cover lines, the rest measured nothing.
_ALL_PASSED, _SOME_FAILED, _NO_TESTS = 0, 1, 5
_ASK = "import importlib.util as u; print(*[n for n in ('pytest', 'pytest_cov', 'coverage') if u.find_spec(n)])"


@dataclass(frozen=True)
class Coverage:
    """What the tests cover: the share of lines in percent, the command that measured it, and whether all passed."""

    percent: float
    command: str
    all_passed: bool


def percent_covered(report: str) -> float | None:
    """The share of lines, in percent, in the text of a coverage report as JSON; None where it is none."""
    try:
        percent = json.loads(report)["totals"]["percent_covered"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return float(percent) if isinstance(percent, int | float) and not isinstance(percent, bool) else None


def measure_coverage(project: Path, *, timeout_s: float = TIMEOUT_S) -> Coverage:
    """Runs the tests of a project with its environment's Python (`.venv`, `venv`, the active one, else this one).

    What is written goes to a temporary folder, but for what the tests themselves write. Raises `InputError` for a time
    that is not positive, `StateError` where pytest or coverage is missing there, and `LooplineError` where the tests do
    not end in time, where there are none, or where they cannot be collected.
    """
    if not timeout_s > 0:
        raise InputError(f"a time-out of {timeout_s} s; expected more than 0.")
    python = _python(project)
    has = set(_Run(python, project, None, _ASK_TIMEOUT_S)("-c", _ASK)[1].split())
    if "pytest" not in has or not has & {"pytest_cov", "coverage"}:
        missing = "pytest" if "pytest" not in has else "coverage"
        next_command = f"{shlex.quote(python)} -m pip install pytest-cov"
        raise StateError(f"'{python}', the project's Python, has no {missing}.", next_command=next_command)
    tests = ["-m", "pytest", "--cov"] if "pytest_cov" in has else ["-m", "coverage", "run", "-m", "pytest"]
    with tempfile.TemporaryDirectory(prefix="loopline-coverage-", ignore_cleanup_errors=True) as name:
        run = _Run(python, project, Path(name) / ".coverage", timeout_s)
        written = Path(name) / "coverage.json"
        if "pytest_cov" in has:
            code, said = run(*tests, "--cov-fail-under=0", f"--cov-report=json:{written}")
        else:
            code, said = run(*tests)
            run("-m", "coverage", "json", "--fail-under=0", "-o", str(written))
        percent = percent_covered(written.read_text(encoding="utf-8")) if written.is_file() else None
    if code not in (_ALL_PASSED, _SOME_FAILED) or percent is None:
        last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
        reason = "there are none" if code == _NO_TESTS else f"they ended with {code} and said: {last}"
        raise LooplineError(f"the tests of '{project}' measured nothing: {reason}", next_command="python -m pytest")
    return Coverage(percent, " ".join(["python", *tests]), code == _ALL_PASSED)


def _python(project: Path) -> str:
    """The interpreter of the project's environment, else of the active one, else this one."""
    folders = [project / name for name in _ENVIRONMENTS]
    folders += [Path(os.environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    paths = (folder / python for folder in folders for python in _PYTHONS)
    return next((str(path) for path in paths if path.is_file()), sys.executable)


@dataclass(frozen=True)
class _Run:
    """Runs the project's Python in its folder; coverage keeps its data in `data_file`."""

    python: str
    project: Path
    data_file: Path | None
    timeout_s: float

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code and what was said, on both outputs; every process is ended that is left after `timeout_s`."""
        # Whoever measures this process is not to measure that one.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_MEASURES_US)}
        own = {} if self.data_file is None else {"COVERAGE_FILE": str(self.data_file)}
        with subprocess.Popen(  # noqa: S603 - the tests that somebody asked us to run
            [self.python, *arguments],
            cwd=self.project,
            env={**inherited, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=self.timeout_s)
            except BaseException as error:  # also Ctrl-C: the tests are in a session of their own
                _end(process)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                message = f"the tests of '{self.project}' did not end within {self.timeout_s:g} s."
                raise LooplineError(message, next_command="loopline report fill") from None
        return process.returncode, said


def _end(process: subprocess.Popen[str]) -> None:
    """Kills a process and, where the system knows groups, whatever it started."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
