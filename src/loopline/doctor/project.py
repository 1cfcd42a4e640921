"""The tracking database, git, and which credentials are there."""

from __future__ import annotations

import netrc
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from loopline.aliases import list_versions, registry_uri, shown_uri
from loopline.core.errors import LooplineError
from loopline.core.workspace import Workspace
from loopline.doctor.check import Check, ok, problem, warning


class Credential(NamedTuple):
    """Where a service's credential may lie, and how to bring it."""

    service: str
    variables: tuple[str, ...]
    file: str
    bring: str
    # Where the file is a netrc: the host whose entry counts.
    host: str | None = None


CREDENTIALS = (
    Credential("Weights & Biases", ("WANDB_API_KEY",), "~/.netrc", "wandb login", "api.wandb.ai"),
    Credential("MLflow server", ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"), "~/.mlflow/credentials",
               "export MLFLOW_TRACKING_TOKEN=…"),
    Credential("Kaggle", ("KAGGLE_API_TOKEN", "KAGGLE_KEY"), "~/.kaggle/kaggle.json", "export KAGGLE_API_TOKEN=…"),
    Credential("Hugging Face", ("HF_TOKEN",), "~/.cache/huggingface/token", "hf auth login"),
    Credential("Google Cloud", ("GOOGLE_APPLICATION_CREDENTIALS",),
               "~/.config/gcloud/application_default_credentials.json", "gcloud auth application-default login"),
    Credential("AWS", ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"), "~/.aws/credentials", "aws configure"),
)  # fmt: skip


def check_tracking(workspace: Workspace) -> list[Check]:
    """Does the registry answer, and are its tables those of MLflow 3?"""
    if registry_uri(workspace) == workspace.tracking_uri and not workspace.tracking_db.exists():
        return ok("tracking", f"{workspace.tracking_db} will be created by the first run")
    try:
        versions = list_versions(workspace)
    except LooplineError as error:
        return problem("tracking", error.message, error.next_command or "loopline --home FOLDER …")
    num_models = len({version.name for version in versions})
    return ok("tracking", f"{shown_uri(workspace)}: {len(versions)} versions of {num_models} models")


def check_git(workspace: Workspace) -> list[Check]:
    """Is git there, is this a repository (runs record its commit), and does it ignore the workspace?"""
    if shutil.which("git") is None:
        return warning("git", "not installed, so runs cannot record their commit", "install git")
    inside = _git("rev-parse", "--is-inside-work-tree")
    if inside.returncode != 0:
        if "not a git repository" in inside.stderr:
            return warning("git", "this folder is no repository, so runs cannot record their commit", "git init")
        return warning("git", inside.stderr.strip().partition("\n")[0], "git status")
    root = workspace.root.absolute()
    # 0: ignored, 1: not ignored, 128: outside of the repository, where git cannot take it along.
    if _git("check-ignore", "--quiet", f"{root}/probe").returncode == 1:
        found = f"the workspace '{root}' is not ignored: data and models could be committed"
        return warning("git", found, f"echo '{root.name}/' >> '{root.parent / '.gitignore'}'")
    return ok("git", "repository found, the workspace stays out of it")


def check_credentials() -> list[Check]:
    """Which credentials are present, by name; their values go nowhere."""
    checks = []
    for credential in CREDENTIALS:
        places = [variable for variable in credential.variables if os.environ.get(variable)]
        if _is_in_file(credential):
            places.append(credential.file)
        name = f"credentials: {credential.service}"
        if places:
            checks += ok(name, f"present: {', '.join(places)}")
        else:
            checks += ok(name, "absent, needed only where you use it", credential.bring)
    return checks


def _is_in_file(credential: Credential) -> bool:
    path = Path(credential.file).expanduser()
    if not path.is_file():
        return False
    if credential.host is None:
        return True
    try:
        return credential.host in netrc.netrc(str(path)).hosts
    except (netrc.NetrcParseError, OSError):
        return False


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    # In English, because one sentence of git is looked for.
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, env=environment)  # noqa: S603 - fixed words
