"""A bundle becomes a version: once, whole, and readable by MLflow."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopline.bundle import read_bundle
from loopline.core.errors import InputError, IntegrityError
from loopline.core.workspace import Workspace
from loopline.registry import models, promote, register
from loopline.registry.client import registry_client
from loopline.testing import make_png


def test_a_bundle_becomes_a_version_with_what_made_it(workspace: Workspace, bundles: list[Path]) -> None:
    """The first bundle is version 1, and its record carries what the bundle states."""
    bundle = read_bundle(bundles[0])
    version = register(bundles[0], name="digits", workspace=workspace)
    assert (version.reference, version.bundle_digest, version.aliases) == ("digits@1", bundle.digest, ())
    assert (version.run_id, version.metrics, version.reason) == (bundle.run_id, bundle.metrics, "")
    assert read_bundle(Path(version.source)) == bundle


def test_mlflow_shows_the_version_with_digest_run_and_dataset(workspace: Workspace, bundles: list[Path]) -> None:
    """What MLflow's page shows are tags of the version, and the task on the model."""
    bundle = read_bundle(bundles[0])
    register(bundles[0], name="digits", workspace=workspace)
    with registry_client(workspace) as client:
        tags = client.get_model_version("digits", "1").tags
        assert client.get_registered_model("digits").tags == {"loopline.task": "classification"}
    assert tags["loopline.bundle_digest"] == bundle.digest
    assert tags["loopline.run_id"] == bundle.run_id
    assert tags["loopline.dataset"] == f"noise@{bundle.dataset.version[:12]}"
    assert json.loads(tags["loopline.metrics"]) == bundle.metrics


def test_the_same_bundle_again_is_the_same_version(workspace: Workspace, bundles: list[Path]) -> None:
    """Registering twice changes nothing; another bundle is the next number, another name starts at 1."""
    first = register(bundles[0], name="digits", workspace=workspace)
    assert register(bundles[0], name="digits", workspace=workspace) == first
    assert register(bundles[1], name="digits", workspace=workspace).reference == "digits@2"
    assert register(bundles[0], name="other", workspace=workspace).reference == "other@1"
    assert [version.reference for version in models(workspace=workspace)] == ["digits@1", "digits@2", "other@1"]


def test_bundles_registered_at_once_get_numbers_of_their_own(workspace: Workspace, bundles: list[Path]) -> None:
    """Four at the same time, each twice, are four versions."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda folder: register(folder, name="digits", workspace=workspace), bundles * 2))
    assert made[:4] == made[4:]
    assert sorted(version.number for version in made[:4]) == [1, 2, 3, 4]


def test_a_changed_bundle_is_not_registered(workspace: Workspace, bundles: list[Path], tmp_path: Path) -> None:
    """One byte is enough, and nothing of the attempt stays."""
    changed = shutil.copytree(bundles[0], tmp_path / "changed")
    with (changed / "graph.onnx").open("r+b") as file:
        file.seek(100)
        file.write(b"!")
    with pytest.raises(IntegrityError, match=r"graph\.onnx' was changed"):
        register(changed, name="digits", workspace=workspace)
    assert models(workspace=workspace) == []
    assert not workspace.artifacts.exists()


@pytest.mark.parametrize("name", ["", "a@b", "a/b", "../up", ".hidden", "it's", "-x", "x" * 101])
def test_a_name_that_no_reference_could_hold_is_refused(workspace: Workspace, bundles: list[Path], name: str) -> None:
    """A name must fit in front of the @, in a path and in a query."""
    with pytest.raises(InputError, match="expected up to 100 letters"):
        register(bundles[0], name=name, workspace=workspace)


def test_the_model_folder_is_the_bundle_and_one_file_beside_it(workspace: Workspace, bundles: list[Path]) -> None:
    """MLflow's own file lies beside the bundle, which so holds no file that it does not list; nothing is pickled."""
    version = register(bundles[0], name="digits", workspace=workspace)
    folder = Path(version.source).parent
    assert sorted(path.name for path in folder.iterdir()) == ["MLmodel", "bundle"]
    names = {path.name for path in bundles[0].iterdir()}
    assert {path.name for path in (folder / "bundle").iterdir()} == names


def test_a_copy_that_a_killed_process_left_is_used_if_it_is_whole(workspace: Workspace, bundles: list[Path]) -> None:
    """A model folder without its row in the registry is taken up; a changed one is refused."""
    first = register(bundles[0], name="digits", workspace=workspace)
    with registry_client(workspace) as client:
        client.delete_model_version("digits", "1")
    again = register(bundles[0], name="digits", workspace=workspace)
    assert (again.number, again.source) == (2, first.source)
    with registry_client(workspace) as client:
        client.delete_model_version("digits", "2")
    (Path(first.source) / "card.md").write_text("changed")
    with pytest.raises(IntegrityError, match=r"card\.md' was changed"):
        register(bundles[0], name="digits", workspace=workspace)


def test_the_version_is_linked_to_the_run_that_mlflow_tracked(workspace: Workspace, bundles: list[Path]) -> None:
    """MLflow's page leads from the version to its run, where it knows the run."""
    with registry_client(workspace) as client:
        run_id = client.create_run(client.create_experiment("training")).info.run_id
    register(bundles[0], name="digits", workspace=workspace, tracker_run_id=run_id)
    register(bundles[1], name="digits", workspace=workspace, tracker_run_id="0123456789abcdef0123456789abcdef")
    with registry_client(workspace) as client:
        assert [client.get_model_version("digits", number).run_id for number in "12"] == [run_id, None]


def test_mlflow_loads_and_predicts(
    workspace: Workspace, bundles: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`mlflow.pyfunc` answers as the predictor does, by alias, from a frame or a list."""
    import mlflow.pyfunc
    import pandas as pd  # type: ignore[import-untyped] # has no stubs here
    from mlflow.exceptions import MlflowException

    from loopline.predictor import open_predictor
    from loopline.registry.pyfunc import _load_pyfunc

    register(bundles[0], name="digits", workspace=workspace)
    promote("digits@1", workspace=workspace)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/digits@champion")
    raws = [make_png(height=8, width=8, seed=seed) for seed in range(3)]
    answers = open_predictor(bundles[0]).predict_raw(raws)
    frame = model.predict(pd.DataFrame({"image": raws}))
    assert list(frame.columns) == ["label", "probability_circle", "probability_cross", "probability_square"]
    assert list(frame["label"]) == [answer.predicted for answer in answers]
    assert frame.drop(columns="label").to_numpy().tolist() == [answer.outputs.tolist() for answer in answers]
    with pytest.raises(MlflowException, match="Model is missing inputs"):
        model.predict(pd.DataFrame({"picture": raws}))
    assert capfd.readouterr().err == ""
    inner = _load_pyfunc(str(bundles[0]))
    assert inner.predict(raws).equals(frame)
    with pytest.raises(InputError, match="columns picture given; expected one column 'image'"):
        inner.predict(pd.DataFrame({"picture": raws}))
    with pytest.raises(InputError, match="parameters top given; expected none"):
        inner.predict(raws, params={"top": 3})


def test_mlflow_says_nothing_while_it_creates_the_tables(
    tmp_path: Path, bundles: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    """The first registration of a new workspace prints nothing."""
    version = register(bundles[0], name="digits", workspace=Workspace(tmp_path / "new"))
    assert version.reference == "digits@1"
    assert capfd.readouterr() == ("", "")
