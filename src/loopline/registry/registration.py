"""`register`: a bundle becomes a numbered version of a named model."""

from __future__ import annotations

import getpass
import json
import shutil
from pathlib import Path

from loopline.aliases import BUNDLE_FOLDER, TAG_PREFIX, list_versions
from loopline.bundle import read_bundle
from loopline.core.errors import InputError
from loopline.core.records import ModelBundle, ModelVersion
from loopline.core.store import atomic_folder, lock, write_text
from loopline.core.workspace import Workspace
from loopline.registry.client import open_client

# MLflow finds our loader by this file; Python's own YAML quoting rules are met by JSON strings.
_MLMODEL = """\
flavors:
  python_function:
    loader_module: loopline.registry.pyfunc
    data: {data}
loopline_bundle_digest: {digest}
model_uuid: {uuid}
utc_time_created: {created}
"""
_NAME_LENGTH = 100


def register(folder: Path, *, name: str, workspace: Workspace, tracker_run_id: str | None = None) -> ModelVersion:
    """Registers the bundle in `folder` as the next version of model `name`; the same bundle again is the same version.

    Writes an MLflow model folder with a copy of the bundle under `workspace.artifacts/models`, so that
    `mlflow.pyfunc.load_model("models:/NAME@ALIAS")` opens it too, and a row in MLflow's registry, linked to the run
    `tracker_run_id` where MLflow tracked it. Raises `InputError` for a bad name and `IntegrityError` for a changed
    bundle.
    """
    check_name(name, kind="model name")
    bundle = read_bundle(folder)
    with lock(registry_lock(workspace), holder="the registry", timeout_s=60):
        for version in list_versions(workspace, name=name):
            if version.bundle_digest == bundle.digest:
                return version
        model_folder = _write_model_folder(folder, bundle, name, workspace)
        client = open_client(workspace)
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, tags={f"{TAG_PREFIX}task": bundle.task})
        tags = {
            "bundle_digest": bundle.digest,
            "run_id": bundle.run_id,
            "dataset": f"{bundle.dataset.name}@{bundle.dataset.version[:12]}",
            "metrics": json.dumps(bundle.metrics, sort_keys=True),
            "created_by": user_name(),
        }
        created = client.create_model_version(
            name,
            source=model_folder.resolve().as_posix(),
            run_id=tracker_run_id,
            tags={TAG_PREFIX + key: value for key, value in tags.items()},
        )
    return next(version for version in list_versions(workspace, name=name) if version.number == int(created.version))


def check_name(name: str, *, kind: str) -> None:
    """Raises `InputError` unless `name` can stand before or behind the @ of a reference and in a path."""
    allowed = all(letter.isascii() and (letter.isalnum() or letter in "_.-") for letter in name)
    if not name or not allowed or name[0] in ".-" or len(name) > _NAME_LENGTH:
        raise InputError(f"{kind} '{name}' given; expected up to {_NAME_LENGTH} letters, digits, '_', '.' and '-'.")


def registry_lock(workspace: Workspace) -> Path:
    """The lock file that whoever changes the registry holds."""
    return workspace.root / ".registry.lock"


def user_name() -> str:
    """Who is at the keyboard, as the system knows them; empty where it does not (a container without users)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _write_model_folder(folder: Path, bundle: ModelBundle, name: str, workspace: Workspace) -> Path:
    target = workspace.artifacts / "models" / name / bundle.digest[:12]
    if target.exists():
        # A process that died between the copy and the row left it; the digest in its name says what it must hold.
        read_bundle(target / BUNDLE_FOLDER)
        return target
    with atomic_folder(target) as temporary:
        shutil.copytree(folder, temporary / BUNDLE_FOLDER)
        text = _MLMODEL.format(
            data=json.dumps(BUNDLE_FOLDER),
            digest=json.dumps(bundle.digest),
            uuid=json.dumps(bundle.digest[:32]),
            created=json.dumps(bundle.created_at.strftime("%Y-%m-%d %H:%M:%S.%f")),
        )
        write_text(temporary / "MLmodel", text)
    return target
