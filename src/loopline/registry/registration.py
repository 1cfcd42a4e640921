"""`register`: a bundle becomes a numbered version of a named model."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.aliases import BUNDLE_FOLDER, TAG_PREFIX, check_name, list_versions, model_folder
from loopline.bundle import BUNDLE_FILE, read_bundle, read_file
from loopline.core.errors import IntegrityError
from loopline.core.records import ModelBundle, ModelVersion
from loopline.core.store import atomic_folder, write_bytes
from loopline.core.workspace import Workspace
from loopline.registry.client import registry_client, registry_lock, user_name
from loopline.registry.pyfunc import model_signature

if TYPE_CHECKING:
    from mlflow.models import Model
    from mlflow.tracking import MlflowClient

# Where a server keeps the artifacts of bundles whose runs it did not track.
_EXPERIMENT = "loopline-bundles"


def register(
    folder: Path, *, name: str, workspace: Workspace | None = None, tracker_run_id: str | None = None
) -> ModelVersion:
    """Registers the bundle in `folder` as the next version of model `name`; the same bundle again is the same version.

    Writes an MLflow model folder with a copy of the bundle under `workspace.artifacts/models`, so that
    `mlflow.pyfunc.load_model("models:/NAME@ALIAS")` opens it too, and a row in MLflow's registry, linked to the run
    `tracker_run_id` where the registry knows that run. To a server the folder is uploaded, and the run is made if need
    be. Raises `InputError` for a bad name and `IntegrityError` for a changed bundle.
    """
    workspace = workspace or Workspace.default()
    check_name(name, kind="model name")
    bundle = read_bundle(folder)
    with registry_lock(workspace):
        for version in list_versions(workspace, name=name):
            if version.bundle_digest == bundle.digest:
                return version
        with registry_client(workspace) as client:
            model = _write_model_folder(folder, bundle, model_folder(name, bundle.digest, workspace))
            run_id = tracker_run_id if tracker_run_id and _knows_run(client, tracker_run_id) else None
            source = model.resolve().as_posix()
            if client.tracking_uri.startswith("http"):
                run_id, source = _upload(client, model, run_id, bundle)
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name, tags={f"{TAG_PREFIX}task": bundle.task})
            tags = {f"{TAG_PREFIX}{key}": value for key, value in _tags(bundle).items()}
            # Nothing to wait for: the artifacts are where they stay before the version exists.
            created = client.create_model_version(name, source, run_id=run_id, tags=tags, await_creation_for=0)
    number = int(created.version)
    return next(version for version in list_versions(workspace, name=name) if version.number == number)


def _tags(bundle: ModelBundle) -> dict[str, str]:
    return {
        "bundle_digest": bundle.digest,
        "run_id": bundle.run_id,
        "dataset": f"{bundle.dataset.name}@{bundle.dataset.version[:12]}",
        "metrics": json.dumps(bundle.metrics, sort_keys=True),
        "created_by": user_name(),
    }


def _write_model_folder(folder: Path, bundle: ModelBundle, target: Path) -> Path:
    if target.exists():
        # A process that died between the copy and the row left it; the digest says what it must hold.
        if read_bundle(target / BUNDLE_FOLDER).digest != bundle.digest:
            raise IntegrityError(f"'{target}' holds another bundle than '{folder}'.")
        return target
    with atomic_folder(target) as temporary:
        # What is checked is what is copied; and a copy of a read-only file must not be read-only.
        for path in bundle.files:
            write_bytes(temporary / BUNDLE_FOLDER / path, read_file(folder, bundle, path))
        shutil.copyfile(folder / BUNDLE_FILE, temporary / BUNDLE_FOLDER / BUNDLE_FILE)
        _describe_model(bundle).save((temporary / "MLmodel").as_posix())
    return target


def _describe_model(bundle: ModelBundle) -> Model:
    """The file `MLmodel`, by which MLflow finds our loader and shows what goes in and out."""
    from mlflow.models import Model

    model = Model(signature=model_signature(bundle), model_uuid=bundle.digest[:32])
    model.add_flavor(
        "python_function",
        loader_module="loopline.registry.pyfunc",
        data=BUNDLE_FOLDER,
        python_version=platform.python_version(),
    )
    return model


def _knows_run(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _upload(client: MlflowClient, model: Path, run_id: str | None, bundle: ModelBundle) -> tuple[str, str]:
    """Uploads a model folder to a server, which accepts a version only where its artifacts belong to a run."""
    made = run_id is None
    if run_id is None:
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        experiment_id = client.create_experiment(_EXPERIMENT) if experiment is None else experiment.experiment_id
        run_id = client.create_run(experiment_id, run_name=f"{bundle.name} {bundle.run_id}").info.run_id
    place = f"model-{bundle.digest[:12]}"
    client.log_artifacts(run_id, str(model), place)
    if made:
        client.update_run(run_id, status="FINISHED")
    return run_id, f"{client.get_run(run_id).info.artifact_uri}/{place}"
