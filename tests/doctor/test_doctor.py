"""The doctor finds what is planted, names what mends it, and never tells a secret."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from loopline.cli.entry import cli
from loopline.core.workspace import Workspace
from loopline.doctor import Check, doctor, machine, packages, project


def only(checks: list[Check], name: str) -> Check:
    """The one check with this name."""
    (found,) = [check for check in checks if check.name == name]
    return found


def test_this_machine_works(workspace: Workspace) -> None:
    """Where the tests run, nothing stops Loopline, and what is not well names what mends it."""
    checks = doctor(workspace)
    assert [check for check in checks if check.status == "problem"] == []
    assert [check for check in checks if check.status != "ok" and not check.next_command] == []
    assert len({check.name for check in checks}) == len(checks)
    assert not workspace.root.exists()


def test_it_prints_a_table_or_json(workspace: Workspace) -> None:
    """Both show every check; the exit code is 0 where there is no problem."""
    table = CliRunner().invoke(cli, ["doctor"])
    raw = CliRunner().invoke(cli, ["doctor", "--json"])
    assert (table.exit_code, raw.exit_code) == (0, 0), table.output
    checks = [Check.model_validate(item) for item in json.loads(raw.output)]
    assert [check.name for check in checks if check.name not in table.output] == []
    assert "export TMPDIR" not in table.output


def test_a_problem_is_exit_code_1(workspace: Workspace) -> None:
    """A registry that cannot be read stops the loop; the table says what mends it."""
    workspace.root.mkdir()
    workspace.tracking_db.write_bytes(b"not a database" * 1000)
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert "✗" in result.output
    assert "cannot be read as a SQLite database" in result.output


def test_it_loads_nothing_heavy() -> None:
    """A fresh interpreter that runs every check has imported neither torch nor MLflow."""
    program = """
import sys
from loopline.doctor import doctor
doctor()
print(sorted({"torch", "torchvision", "mlflow", "lightning", "wandb", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- packages


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that comes first on the path; `install` writes into it."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def install(site: Path, name: str, version: str, *, code: str = "", build: str = "") -> None:
    """A small real package with its metadata, whose `version.py` is `build`."""
    info = site / f"{name}-{version.partition('+')[0]}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site / name).mkdir()
    (site / name / "__init__.py").write_text(code)
    (site / name / "version.py").write_text(build)


def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, *, code: int = 0) -> None:
    """A driver's program that prints the text."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{text}'\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_every_extra_is_looked_at(site: Path) -> None:
    """What `pyproject.toml` offers is what is checked, with the versions that are there."""
    names = [check.name for check in packages.check_packages()]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = sorted(set(project["optional-dependencies"]) - {"all", "dev"})
    assert names == ["loopline 0.1.0", *(f"extra {extra}" for extra in expected)]


def test_an_old_package_is_a_problem(site: Path) -> None:
    """A version below what is asked for is named with what was expected and the install line."""
    install(site, "wandb", "0.1.0")
    check = only(packages.check_packages(), "extra wandb")
    assert (check.status, check.next_command) == ("problem", "pip install 'loopline[wandb]'")
    assert check.found.startswith("wandb 0.1.0, expected >=")


def test_a_base_without_extras_is_well(site: Path) -> None:
    """Each absent extra is a warning with its install line, and the rest of the doctor works."""
    # Metadata that comes first on the path hides the real one.
    info = site / "loopline-0.1.0.dist-info"
    info.mkdir()
    lines = ["Name: loopline", "Version: 0.1.0", "Requires-Dist: click>=8.2", "Provides-Extra: fly"]
    lines += ["Requires-Dist: no-such-package>=1; extra == 'fly'", "Requires-Dist: nor-this; sys_platform == 'plan9'"]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    base, fly = packages.check_packages()
    assert (base.name, base.status) == ("loopline 0.1.0", "ok")
    assert (fly.status, fly.found) == ("warning", "absent: no-such-package")
    assert fly.next_command == "pip install 'loopline[fly]'"


def test_a_tree_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without metadata there is nothing to compare with."""
    monkeypatch.setattr(sys, "path", [])
    (check,) = packages.check_packages()
    assert (check.status, check.next_command) == ("problem", "pip install -e .")


@pytest.mark.parametrize(
    ("may_write", "is_compiled", "status"), [(True, False, "ok"), (False, True, "ok"), (False, False, "warning")]
)
def test_packages_that_stay_without_byte_code_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool, is_compiled: bool, status: str
) -> None:
    """What it names for that mends it."""
    package = tmp_path / "pydantic"
    package.mkdir()
    (package / "__init__.py").write_text("")
    compile_all = [sys.executable, "-m", "compileall", "-q", str(tmp_path)]
    if is_compiled:
        subprocess.run(compile_all, check=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", not may_write)
    (check,) = packages.check_byte_code()
    assert check.status == status
    if status == "warning":
        assert check.next_command == f"python -m compileall -q -j 0 '{tmp_path}'"
        subprocess.run([sys.executable, *shlex.split(check.next_command)[1:]], check=True)
        assert only(packages.check_byte_code(), "byte code").status == "ok"


def test_a_python_outside_of_an_environment_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of the system's Python should not be changed."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    (check,) = packages.check_python()
    assert (check.status, check.next_command) == ("warning", "python3 -m venv .venv && . .venv/bin/activate")


CPU = "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"
CUDA_13 = "__version__ = '2.15.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
ROCM = "__version__ = '2.15.0+rocm6.4'\ncuda: Optional[str] = None\nhip: Optional[str] = '6.4.1'\n"
HEADER = "| NVIDIA-SMI 580.1  Driver Version: 580.1  CUDA Version: {} |"


@pytest.mark.skipif(os.name != "posix", reason="the driver's program is a shell script here")
@pytest.mark.parametrize(
    ("build", "driver", "code", "status", "found"),
    [
        (CPU, "13.0", 0, "warning", "2.13.0+cpu, a CPU build, leaves the NVIDIA card of this machine idle"),
        (CUDA_13, "13.1", 0, "ok", "2.15.0+cu130, built for CUDA 13.0; the NVIDIA driver supports CUDA 13.1"),
        (CUDA_13, "12.4", 0, "problem", "2.15.0+cu130, built for CUDA 13.0, but the NVIDIA driver supports CUDA up to"),
        (CUDA_13, "", 9, "ok", "2.15.0+cu130, built for CUDA 13.0; no NVIDIA driver, so models train on what"),
        (ROCM, "13.0", 0, "ok", "2.15.0+rocm6.4, built for ROCm 6.4.1"),
    ],
)  # fmt: skip
def test_torch_is_held_against_the_driver(
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: str,
    driver: str,
    code: int,
    status: str,
    found: str,
) -> None:
    """The build is read from torch's files, the driver is asked; importing this torch would fail."""
    install(site, "torch", "2.13.0", code="raise RuntimeError", build=build)
    nvidia_smi(tmp_path, monkeypatch, HEADER.format(driver) if driver else "No devices were found", code=code)
    (check,) = packages.check_torch()
    assert check.status == status
    assert check.found.startswith(found)


def test_without_torch_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of packages has said it."""
    monkeypatch.setattr(packages, "_version_file", lambda _: None)
    assert packages.check_torch() == packages.check_torchvision() == []


@pytest.mark.parametrize(
    ("version", "code", "status", "found"),
    [
        ("0.28.0+cpu", "raise RuntimeError('not imported')", "ok", "0.28.0+cpu"),
        ("0.28.0+cu130", "", "ok", "0.28.0+cu130"),
        (
            "0.28.0+cu130",
            "raise RuntimeError('operator nms does not exist')",
            "warning",
            "0.28.0+cu130 does not load beside torch 2.13.0+cpu: RuntimeError: operator nms does not exist",
        ),
    ],
)
def test_a_torchvision_of_another_build_is_tried(site: Path, version: str, code: str, status: str, found: str) -> None:
    """Only where the builds differ does a second process import it, because that takes seconds."""
    install(site, "torch", "2.13.0", build=CPU)
    install(site, "torchvision", "0.28.0", code=code, build=f"__version__ = '{version}'\n")
    (check,) = packages.check_torchvision()
    assert (check.status, check.found) == (status, found)
    assert check.next_command == (None if status == "ok" else "pip uninstall --yes torchvision")


# --- machine


def test_little_memory_few_files_and_a_wrong_clock_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the command that helps."""
    monkeypatch.setattr(machine, "LEAST_MEMORY_GIB", 1e6)
    monkeypatch.setattr(machine, "LEAST_OPEN_FILES", 10**9)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    found = [*machine.check_resources(), *machine.check_open_files(), *machine.check_clock()]
    assert [(check.name, check.status) for check in found if check.status != "warning"] == []
    assert "earlier than Loopline was installed" in only(found, "clock").found


def test_a_full_disk_is_a_warning(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below two GiB the next training may not fit."""
    monkeypatch.setattr(machine, "LEAST_FREE_GIB", 1e9)
    check = only(machine.check_folders(workspace), "workspace")
    assert (check.status, str(check.next_command).startswith("df -h ")) == ("warning", True)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder where not even root may write")
def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    """The workspace says how to choose another; the temporary folder is looked at on its own."""
    checks = machine.check_folders(Workspace(Path("/proc/self/workspace")))
    assert only(checks, "workspace").status == "problem"
    assert only(checks, "temporary folder").status == "ok"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder where not even root may write")
def test_a_room_that_cannot_be_written_is_a_problem(workspace: Workspace) -> None:
    """The workspace may be writable and one of its rooms not: another user's, or a mount."""
    workspace.root.mkdir()
    workspace.cache.symlink_to("/proc/self")
    check = only(machine.check_folders(workspace), "workspace/cache")
    assert (check.status, check.next_command) == ("problem", f"chmod u+rwx '{workspace.cache}'")


def test_a_port_in_use_names_who_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to choose another; a free one says for whom. Without psutil it is just another process."""
    import psutil

    own_name = psutil.Process().name()
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        port, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        monkeypatch.setattr(
            machine, "PORTS", {port: "loopline serve MODEL --port 8001", other: "mlflow ui --port 5001"}
        )
        used, unused = machine.check_ports()
        monkeypatch.setitem(sys.modules, "psutil", None)
        assert machine.check_ports()[0].found == "in use by another process; for loopline serve MODEL"
    assert (used.status, used.next_command) == ("warning", "loopline serve MODEL --port 8001")
    assert used.found == f"in use by {own_name} (process {os.getpid()}); for loopline serve MODEL"
    assert (unused.status, unused.found) == ("ok", "free for mlflow ui")


# --- project


def test_a_registry_that_is_there_is_counted(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is a problem, and its password is not shown."""
    (check,) = project.check_tracking(workspace)
    assert (check.status, "will be created" in check.found) == ("ok", True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:s3cret@127.0.0.1:9")
    (check,) = project.check_tracking(workspace)
    assert check.status == "problem"
    assert "http://127.0.0.1:9 does not answer" in check.found


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_git_without_a_repository_and_with_an_open_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No repository, a workspace that could be committed, one that is ignored, one that lies elsewhere."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    inside = Workspace(folder / "workspace")
    (check,) = project.check_git(inside)
    assert (check.status, check.next_command) == ("warning", "git init")
    git("init")
    (check,) = project.check_git(inside)
    assert check.status == "warning"
    assert check.next_command == f"echo 'workspace/' >> '{folder / '.gitignore'}'"
    subprocess.run(check.next_command, shell=True, check=True)  # noqa: S602 - what the doctor says is what is typed
    assert project.check_git(inside)[0].status == "ok"
    assert project.check_git(Workspace(tmp_path / "elsewhere"))[0].status == "ok"
    (folder / ".git" / "config").write_text("[broken")
    (check,) = project.check_git(inside)
    assert (check.status, "bad config" in check.found) == ("warning", True)


def test_without_git_runs_have_no_commit(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git still trains."""
    monkeypatch.setenv("PATH", "")
    (check,) = project.check_git(workspace)
    assert (check.status, check.next_command) == ("warning", "install git")


def test_credentials_are_found_by_name_and_never_told(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret planted in every variable and file is reported as present, and is in no output."""
    secret = "pl4nted-secret"  # noqa: S105 - it is none
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for credential in project.CREDENTIALS:
        for variable in credential.variables:
            monkeypatch.delenv(variable, raising=False)
    absent = project.check_credentials()
    assert {check.found for check in absent} == {"absent, needed only where you use it"}
    assert all(check.next_command for check in absent)
    for credential in project.CREDENTIALS:
        for variable in credential.variables:
            monkeypatch.setenv(variable, secret)
        path = Path(credential.file).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"machine {credential.host} login user password {secret}\n")
    present = project.check_credentials()
    assert only(present, "credentials: Weights & Biases").found == "present: WANDB_API_KEY, ~/.netrc"
    assert [check for check in present if not check.found.startswith("present: ")] == []
    for arguments in (["doctor"], ["doctor", "--json"]):
        output = CliRunner().invoke(cli, arguments).output
        assert "WANDB_API_KEY" in output
        assert secret not in output


@pytest.mark.parametrize("text", ["machine elsewhere login user password x\n", "machine\nwhat is this"])
def test_a_netrc_without_the_entry_is_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The file alone says nothing; neither does one that cannot be read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / ".netrc").write_text(text)
    assert only(project.check_credentials(), "credentials: Weights & Biases").found.startswith("absent")
