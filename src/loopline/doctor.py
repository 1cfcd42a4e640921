"""Layer 4: `doctor` looks at the machine and says what is missing, each with the command that mends it.

A check is one function that returns records. None imports a heavy library: versions are read from the
packages' metadata, so that the whole takes well under a second and works with nothing but the base installed.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Literal

from loopline.core.records import Record
from loopline.core.workspace import Workspace

Status = Literal["ok", "warning", "problem"]


class Check(Record):
    """What one check found; a `problem` stops some stage from working, a `warning` only limits it."""

    name: str
    status: Status
    found: str
    next_command: str | None = None


def doctor(workspace: Workspace | None = None) -> list[Check]:
    """Runs every check and returns them in order; changes nothing but a probe file that it removes again."""
    workspace = workspace or Workspace.default()
    return [
        *check_python(),
        *check_packages(),
        *check_torch(),
        *check_folders(workspace),
        *check_ports(),
        *check_tracking(workspace),
        *check_git(workspace),
        *check_credentials(),
    ]


def check_python() -> list[Check]:
    """Python's version, and whether a virtual environment is active."""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.prefix == sys.base_prefix:
        outside = f"{found}, no virtual environment"
        return [Check(name="python", status="warning", found=outside, next_command="python3 -m venv .venv")]
    return [Check(name="python", status="ok", found=found)]


def check_packages() -> list[Check]:
    """Per extra: are its packages installed, and new enough?"""
    try:
        requirements = metadata.requires("loopline") or []
    except metadata.PackageNotFoundError:
        return [
            Check(name="packages", status="problem", found="loopline is not installed", next_command="pip install -e .")
        ]
    checks = []
    for extra in EXTRAS:
        problems = [problem for text in requirements if (problem := _unmet(text, extra)) is not None]
        checks.append(
            Check(name=f"packages: {extra}", status="ok", found="installed")
            if not problems
            else Check(
                name=f"packages: {extra}",
                status="warning",
                found=", ".join(problems),
                next_command=f"pip install 'loopline[{extra}]'",
            )
        )
    return checks


def check_torch() -> list[Check]:
    """Does the build of torch fit the graphics card that the system shows, and torchvision the build of torch?"""
    version = _installed("torch")
    if version is None:
        return []
    has_driver = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
    cpu_build = version.endswith("+cpu")
    if has_driver and cpu_build:
        found = f"torch {version} is a CPU build, and this machine has an NVIDIA card"
        return [Check(name="torch", status="warning", found=found, next_command="pip install --force-reinstall torch")]
    if cpu_build and _installed("torchvision") not in (None, "") and not str(_installed("torchvision")).endswith("cpu"):
        # Its compiled operators then do not load, and importing it fails with `torchvision::nms does not exist`.
        found = f"torch {version} beside torchvision {_installed('torchvision')}, a CUDA build"
        return [Check(name="torch", status="warning", found=found, next_command="pip uninstall torchvision")]
    return [Check(name="torch", status="ok", found=f"{version}, {'NVIDIA driver' if has_driver else 'no NVIDIA card'}")]


def check_folders(workspace: Workspace) -> list[Check]:
    """Can the workspace and the temporary folder be written, and is there room?"""
    checks = []
    for name, folder in (("workspace", workspace.root), ("temporary folder", Path(tempfile.gettempdir()))):
        nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=nearest, prefix=".loopline-doctor-"):
                free_gib = shutil.disk_usage(nearest).free / 2**30
        except OSError as error:
            found = f"{folder}: {error.strerror}"
            mend = "loopline --home FOLDER …" if name == "workspace" else "export TMPDIR=FOLDER"
            checks.append(Check(name=name, status="problem", found=found, next_command=mend))
            continue
        low = free_gib < LEAST_FREE_GIB
        checks.append(
            Check(
                name=name,
                status="warning" if low else "ok",
                found=f"{folder}: can be written, {free_gib:.1f} GiB free",
                next_command=f"df -h '{nearest}'" if low else None,
            )
        )
    return checks


def check_ports() -> list[Check]:
    """Are the ports free on which `loopline serve` and `mlflow ui` listen by default?"""
    checks = []
    for port, user, other in ((8000, "loopline serve", "--port 8001"), (5000, "mlflow ui", "--port 5001")):
        with closing(socket.socket()) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                found, mend = f"in use ({user})", f"{user} {other}"
                checks.append(Check(name=f"port {port}", status="warning", found=found, next_command=mend))
                continue
        checks.append(Check(name=f"port {port}", status="ok", found=f"free ({user})"))
    return checks


def check_tracking(workspace: Workspace) -> list[Check]:
    """Can the tracking database be opened, and does it look like MLflow's?"""
    path = workspace.tracking_db
    if not path.exists():
        return [Check(name="tracking", status="ok", found=f"{path} will be created by the first run")]
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            (num_runs,) = connection.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.DatabaseError as error:
        mend = f"mlflow db upgrade sqlite:///{path}"
        return [Check(name="tracking", status="problem", found=f"{path}: {error}", next_command=mend)]
    found = f"{path}: {num_runs} runs; look with: mlflow ui --backend-store-uri sqlite:///{path}"
    return [Check(name="tracking", status="ok", found=found)]


def check_git(workspace: Workspace) -> list[Check]:
    """Is git there, is this a repository (runs record its commit), and does it ignore the workspace?"""
    if shutil.which("git") is None:
        found = "not installed; runs cannot record their commit"
        return [Check(name="git", status="warning", found=found, next_command="install git")]
    if _git("rev-parse", "--is-inside-work-tree") != 0:
        found = "this folder is no repository; runs cannot record their commit"
        return [Check(name="git", status="warning", found=found, next_command="git init")]
    root = workspace.root
    # 0: ignored, 1: not ignored, 128: outside of the repository, where git cannot take it along.
    if _git("check-ignore", "-q", f"{root}/probe") == 1:
        found = f"the workspace '{root}' is not ignored: data and models could be committed"
        return [Check(name="git", status="warning", found=found, next_command=f"echo '{root.name}/' >> .gitignore")]
    return [Check(name="git", status="ok", found="repository found, workspace not tracked")]


def check_credentials() -> list[Check]:
    """Which credentials are present, by name; their values are not read."""
    checks = []
    for name, variables, file, mend in CREDENTIALS:
        places = [variable for variable in variables if variable in os.environ]
        if file is not None and Path(file).expanduser().is_file():
            places.append(file)
        found = f"present: {', '.join(places)}" if places else "absent (needed only where you use it)"
        checks.append(
            Check(name=f"credentials: {name}", status="ok", found=found, next_command=None if places else mend)
        )
    return checks


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _unmet(requirement: str, extra: str) -> str | None:
    """What is wrong with one line of our own metadata (`torch>=2.8; extra == "train"`), or None."""
    match = _REQUIREMENT.match(requirement)
    if match is None or f'extra == "{extra}"' not in requirement.replace("'", '"'):
        return None
    package, least = match["package"], match["least"]
    if package == "loopline":
        return None
    if _platform_excludes(requirement):
        return None
    version = _installed(package)
    if version is None:
        return f"{package} is missing"
    return f"{package} {version}, expected {least} or newer" if least and _numbers(version) < _numbers(least) else None


def _platform_excludes(requirement: str) -> bool:
    return "sys_platform != 'win32'" in requirement.replace('"', "'") and sys.platform == "win32"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _git(*arguments: str) -> int:
    return subprocess.run(["git", *arguments], capture_output=True, timeout=10, check=False).returncode  # noqa: S603, S607 - fixed words


_REQUIREMENT = re.compile(r"^(?P<package>[A-Za-z0-9_.-]+)(?:\[[^]]*\])?[^;>]*(?:>=(?P<least>[0-9.]+))?")
EXTRAS = ("data", "train", "track", "serve", "monitor", "wandb", "hub")
LEAST_FREE_GIB = 2.0
# Name, environment variables, file, how to bring it.
CREDENTIALS = (
    ("Weights & Biases", ("WANDB_API_KEY",), "~/.netrc", "wandb login"),
    ("Kaggle", ("KAGGLE_KEY", "KAGGLE_API_TOKEN"), "~/.kaggle/kaggle.json", "see kaggle.com/settings, API"),
    ("Hugging Face", ("HF_TOKEN",), "~/.cache/huggingface/token", "hf auth login"),
    (
        "Google Cloud",
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        "~/.config/gcloud/application_default_credentials.json",
        "gcloud auth application-default login",
    ),
    ("AWS", ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"), "~/.aws/credentials", "aws configure"),
)
