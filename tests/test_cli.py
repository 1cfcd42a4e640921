"""The root command: what it lists, how errors end, and what a full or read-only disk does."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from loopline.cli import entry
from loopline.cli.commands import COMMANDS, Command
from loopline.cli.output import print_json, print_table
from loopline.core import store
from loopline.core.errors import LooplineError, UnknownName
from loopline.core.records import DatasetRef
from loopline.core.workspace import Workspace

NOBODY = 65534
REFERENCE = DatasetRef(name="fashion", version="a" * 64)


class Ended(NamedTuple):
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


Loopline = Callable[..., Ended]


@pytest.fixture
def loopline(capsys: pytest.CaptureFixture[str]) -> Loopline:
    """Calls the command line in this process, as `loopline("train", "--help")`."""

    def call(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            entry.main(list(arguments))
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Workspace], None]], None]:
    """Adds a real command named `probe` that does what the test says with its workspace."""

    def add(action: Callable[[Workspace], None]) -> None:
        @click.command()
        @click.pass_obj
        def probe(workspace: Workspace) -> None:
            """Does what the test says."""
            action(workspace)

        module = types.ModuleType("probe_of_test_cli")
        module.probe = probe  # type: ignore[attr-defined] # a module made for this test has no declared names
        monkeypatch.setitem(sys.modules, module.__name__, module)
        row = Command("Start", "probe", f"{module.__name__}:probe", "Does what the test says.")
        monkeypatch.setattr(entry, "COMMANDS", (*COMMANDS, row))

    return add


Probe = Callable[[Callable[[Workspace], None]], None]


def fail_with(error: BaseException) -> Callable[[Workspace], None]:
    """An action that raises."""

    def action(_workspace: Workspace) -> None:
        raise error

    return action


def test_help_reads_like_the_loop(loopline: Loopline) -> None:
    """Help lists every command once, stage by stage, in the order of the loop."""
    ended = loopline("--help")
    assert ended.code == 0
    listed = re.findall(r"^  ([a-z-]+) +\S", ended.out.partition("Start:")[2], re.MULTILINE)
    assert listed == [command.name for command in COMMANDS]
    stages = re.findall(r"^([A-Z]\w+):$", ended.out, re.MULTILINE)
    assert stages == ["Options", *dict.fromkeys(command.stage for command in COMMANDS)]


def test_without_a_command_help_is_shown(loopline: Loopline) -> None:
    """`loopline` alone shows the help and ends as wrong usage does."""
    ended = loopline()
    assert ended.code == 2
    assert "Take a PyTorch model around the whole loop" in ended.out + ended.err


def test_the_version_is_told(loopline: Loopline) -> None:
    """`--version` prints one line."""
    assert loopline("--version") == (0, "loopline 0.1.0\n", "")


def test_a_mistyped_command_is_guessed(loopline: Loopline) -> None:
    """An unknown command is wrong usage, with the likely meaning."""
    ended = loopline("trian")
    assert ended.code == 2
    assert "No such command 'trian'. Did you mean 'train'?" in ended.err


def test_nothing_is_guessed_where_nothing_is_alike(loopline: Loopline) -> None:
    """An unknown command that resembles none is only refused."""
    ended = loopline("xyzzy")
    assert ended.code == 2
    assert ended.err.rstrip().endswith("No such command 'xyzzy'.")


def test_home_names_the_workspace(loopline: Loopline, probe: Probe, tmp_path: Path, workspace: Workspace) -> None:
    """`--home` wins over the environment, which wins over the default."""
    seen: list[Workspace] = []
    probe(seen.append)
    assert loopline("--home", str(tmp_path / "other"), "probe").code == 0
    assert loopline("probe").code == 0
    assert seen == [Workspace(tmp_path / "other"), workspace]


def test_an_error_is_one_sentence_and_the_next_command(loopline: Loopline, probe: Probe) -> None:
    """An expected error prints its sentence and what to type next, ends with 1 and shows no traceback."""
    probe(fail_with(UnknownName("run", "7", ["8"], next_command="loopline runs")))
    assert loopline("probe") == (1, "", "error: run '7' does not exist; known: 8.\n  next: loopline runs\n")


def test_an_error_without_a_next_command_is_one_line(loopline: Loopline, probe: Probe) -> None:
    """Where no command helps, none is shown."""
    probe(fail_with(LooplineError("the moon is full.")))
    assert loopline("probe") == (1, "", "error: the moon is full.\n")


def test_debug_shows_the_traceback(probe: Probe) -> None:
    """With `--debug` the error itself comes through."""
    probe(fail_with(UnknownName("run", "7", [])))
    with pytest.raises(UnknownName):
        entry.main(["--debug", "probe"])


def test_a_defect_keeps_its_traceback(probe: Probe) -> None:
    """An error that nobody foresaw is never made small."""
    probe(fail_with(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError):
        entry.main(["probe"])


def test_a_missing_extra_gives_the_install_line(loopline: Loopline, probe: Probe) -> None:
    """A command that needs a package which is not installed says how to install it."""
    probe(fail_with(ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")))
    sentence = (
        "error: this needs the package 'uvicorn', which is not installed.\n  next: pip install 'loopline[serve]'\n"
    )
    assert loopline("probe") == (1, "", sentence)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=["signal", "prompt"])
def test_an_interruption_ends_with_130(loopline: Loopline, probe: Probe, error: BaseException) -> None:
    """Ctrl-C ends as a shell expects, without a traceback."""
    probe(fail_with(error))
    ended = loopline("probe")
    assert (ended.code, ended.out, ended.err.strip()) == (130, "", "interrupted.")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "choose a folder that can be written"),
        (errno.EACCES, "choose a folder that you may write"),
        (errno.ENOENT, "check the path for a typing error"),
        (errno.EADDRINUSE, "choose another port"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(loopline: Loopline, probe: Probe, code: int, advice: str) -> None:
    """An error of the operating system names the file and what mends it."""
    probe(fail_with(OSError(code, os.strerror(code), "some/file")))
    ended = loopline("probe")
    assert ended.code == 1
    assert ended.err.startswith(f"error: some/file: {os.strerror(code)}.\n  next: {advice}")


def test_a_system_error_that_nobody_foresaw_keeps_its_traceback(probe: Probe) -> None:
    """An error of the operating system that has no advice is treated as a defect."""
    probe(fail_with(OSError(errno.EIO, "Input/output error", "disk")))
    with pytest.raises(OSError, match="Input/output error"):
        entry.main(["probe"])


def test_a_file_in_the_place_of_the_workspace_is_named(loopline: Loopline, probe: Probe, tmp_path: Path) -> None:
    """A workspace that is a file is refused in a sentence."""
    (tmp_path / "file").write_text("no folder")
    probe(lambda workspace: store.write_record(workspace.data / "ref.json", REFERENCE))
    ended = loopline("--home", str(tmp_path / "file"), "probe")
    assert ended.code == 1
    assert "a file stands where a folder is expected" in ended.err


@contextmanager
def as_nobody() -> Iterator[None]:
    """Runs as an ordinary user where the tests run as root, who may write everywhere."""
    is_root = os.name == "posix" and os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps no such permission on folders")
def test_a_read_only_folder_is_a_sentence(loopline: Loopline, probe: Probe) -> None:
    """Writing into a folder that may not be written ends in a sentence that names another folder as the way out."""
    probe(lambda workspace: store.write_record(workspace.root / "ref.json", REFERENCE))
    # Not under tmp_path, which only its owner may enter at all.
    home = Path(tempfile.mkdtemp())
    home.chmod(0o555)
    with as_nobody():
        ended = loopline("--home", str(home), "probe")
    left = list(home.iterdir())
    shutil.rmtree(home)
    assert left == []
    assert ended.code == 1
    assert ended.err.startswith(f"error: {home}/.ref.json.")
    assert ended.err.endswith(
        ": Permission denied.\n  next: choose a folder that you may write: loopline --home FOLDER …\n"
    )


def test_a_full_disk_loses_nothing(loopline: Loopline, probe: Probe, tiny_disk: Path) -> None:
    """Where the disk is full the old file stays as it was, no remains stay, and the sentence says what to do."""
    path = tiny_disk / "model.onnx"
    store.write_bytes(path, b"old")
    probe(lambda workspace: store.write_bytes(workspace.root / "model.onnx", bytes(1 << 20)))
    ended = loopline("--home", str(tiny_disk), "probe")
    assert ended.code == 1
    assert ended.err == (
        f"error: {path}: No space left on device.\n"
        "  next: free some space, or choose another folder: loopline --home FOLDER …\n"
    )
    assert path.read_bytes() == b"old"
    assert list(tiny_disk.iterdir()) == [path]


def run(*arguments: str, stdout: int) -> subprocess.Popen[str]:
    """Starts `python -m loopline` with its output going to a descriptor."""
    command = [sys.executable, "-m", "loopline", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="Windows closes pipes in another way")
def test_a_reader_that_goes_away_is_no_error() -> None:
    """`loopline --help | head -1` prints no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with run("--help", stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, "")


def test_tables_print_what_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell is plain text: brackets are no markup, and a pipe gets a row a line."""
    long = "x" * 150
    print_table(["run", "metric"], [["[bold]7", long]], title="Runs")
    out = capsys.readouterr().out
    assert out.split("\n")[0].strip() == "Runs"
    assert "[bold]7" in out
    assert long in out


def test_json_is_printed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A record, several records and a dictionary print as JSON with sorted keys."""
    print_json(REFERENCE)
    assert capsys.readouterr().out == '{\n  "name": "fashion",\n  "version": "%s"\n}\n' % ("a" * 64)
    print_json([REFERENCE])
    assert capsys.readouterr().out.startswith('[\n  {\n    "name"')
    print_json({"é": 1, "a": 2})
    assert capsys.readouterr().out == '{\n  "a": 2,\n  "é": 1\n}\n'
