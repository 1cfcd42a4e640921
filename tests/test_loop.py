"""The whole loop, walked once on real handwritten digits under the demo's name, then looked at from all sides."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import loopline
from loopline import loop
from loopline.bundle import find_bundle
from loopline.cli.entry import main
from loopline.core.errors import GateRefused, InputError, StateError, UnknownName
from loopline.core.records import Run, utc_now
from loopline.core.workspace import Workspace
from loopline.demo import DemoReport, demo
from loopline.demo.server import post_pictures, running_server
from loopline.demo.walk import compare_answers, corrupt
from loopline.evaluation import load_predictions
from loopline.prediction_log import open_log
from loopline.subjects import open_subject

TRAINING = (
    "recipe=fashion",
    "input.height=16",
    "input.width=16",
    "data.augment.flip=false",
    "model.width=8",
    "trainer.max_epochs=8",
    "data.batch_size=32",
)
STAGES = [
    *("data", "train", "evaluate", "export", "register", "promote", "serve", "predict clean", "drift clean"),
    *("predict corrupted", "drift corrupted", "stop", "page"),
]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> tuple[Workspace, DemoReport]:
    """A workspace in which the demo ran, on digits: `get` takes the snapshot that it finds under its name."""
    place = Workspace(tmp_path_factory.mktemp("walked") / "workspace")
    loopline.data.snapshot(digits_folder, name="fashion", workspace=place)
    announced: list[str] = []
    report = demo(overrides=TRAINING, num_requests=60, workspace=place, announce=announced.append)
    assert [line.removesuffix(" …") for line in announced[::2]] == [row.stage for row in report.rows]
    return place, report


def test_the_demo_walks_every_stage(walked: tuple[Workspace, DemoReport]) -> None:
    """Each stage has a row with a result and a file that exists, in the order of the loop."""
    _, report = walked
    assert [row.stage for row in report.rows] == STAGES
    assert all(row.result and Path(row.file).exists() for row in report.rows)
    assert report.accuracy > 0.6
    assert report.duration_s == pytest.approx(sum(row.duration_s for row in report.rows))


def test_the_page_holds_its_pictures(walked: tuple[Workspace, DemoReport]) -> None:
    """The demo's page loads nothing from elsewhere and shows every section."""
    _, report = walked
    page = Path(report.page).read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') >= 7
    assert 'src="http' not in page
    assert all(f">{heading}</h2>" in page for heading in ("Stages", "Training", "Evaluation", "Serving", "Drift"))


def test_all_served_pictures_are_in_the_log(walked: tuple[Workspace, DemoReport]) -> None:
    """Both windows of the demo are logged, each row with the bundle's digest and an embedding."""
    place, _ = walked
    (version,) = loop.models(workspace=place)
    with open_log(place.prediction_log, must_exist=True) as log:
        rows = log.read()
    # Two windows; the test split has fewer pictures than were asked for where it is small.
    assert len(rows) % 2 == 0
    assert {row.bundle_digest for row in rows} == {version.bundle_digest}
    assert all(row.embedding for row in rows)


def test_run_and_bundle_are_judged_alike(walked: tuple[Workspace, DemoReport], tmp_path: Path) -> None:
    """The checkpoint and the bundle made of it answer the same on the same split."""
    place, _ = walked
    of_run = loop.evaluate("latest", split="validation", workspace=place, output=tmp_path / "run")
    of_bundle = loop.evaluate("fashion@champion", split="validation", workspace=place, output=tmp_path / "bundle")
    assert (of_run.subject_kind, of_bundle.subject_kind) == ("run", "bundle")
    assert of_run.confusion == of_bundle.confusion
    np.testing.assert_allclose(
        load_predictions(tmp_path / "run")["probabilities"],
        load_predictions(tmp_path / "bundle")["probabilities"],
        atol=1e-5,
    )


def test_a_subject_is_found_however_it_is_named(walked: tuple[Workspace, DemoReport]) -> None:
    """A run by record, id or `latest`; a bundle by record, digest or alias."""
    place, _ = walked
    (run,) = loop.runs(workspace=place)
    (version,) = loop.models("fashion", workspace=place)
    assert {open_subject(name, place).key for name in (run, run.run_id, "latest")} == {run.run_id}
    digest = version.bundle_digest
    assert {open_subject(name, place).key for name in (version, digest[:12], "fashion@1")} == {digest}
    with pytest.raises(UnknownName):
        open_subject("nothing-of-that-name", place)


def test_export_again_is_the_same_bundle(walked: tuple[Workspace, DemoReport]) -> None:
    """The same run gives the same bundle, and registering it again the same version."""
    place, _ = walked
    (version,) = loop.models(workspace=place)
    bundle = loop.export("latest", name="fashion", workspace=place)
    assert bundle.digest == version.bundle_digest
    assert loop.register(bundle, name="fashion", workspace=place).number == 1
    assert all(check.passed for check in loop.verify_bundle(bundle, workspace=place))
    assert "parity" in " ".join(check.name for check in loop.verify_bundle("fashion@1", workspace=place))


def test_only_completed_runs_are_exported(walked: tuple[Workspace, DemoReport]) -> None:
    """A run that was interrupted is refused with the command that finishes it."""
    place, _ = walked
    (run,) = loop.runs(workspace=place)
    interrupted = Run.model_validate({**run.model_dump(), "status": "interrupted"})
    with pytest.raises(StateError, match="interrupted") as refused:
        loop.export(interrupted, workspace=place)
    assert refused.value.next_command == f"loopline train --resume {run.run_id}"


def test_drift_needs_predictions(walked: tuple[Workspace, DemoReport]) -> None:
    """A window without predictions is an error that says how many there were."""
    place, _ = walked
    with pytest.raises(InputError, match="0 predictions"):
        loop.drift("fashion@champion", since=utc_now() + timedelta(hours=1), workspace=place)


def test_a_worse_challenger_is_refused(walked: tuple[Workspace, DemoReport]) -> None:
    """A challenger that was hardly trained stays outside, unless a reason is given, and a rollback undoes that."""
    place, _ = walked
    run = loop.train([*TRAINING, "trainer.max_epochs=1", "optimizer.lr=1e-6", "tracking=none"], workspace=place)
    weak = loop.register(loop.export(run, name="weak", workspace=place), name="fashion", workspace=place)
    with pytest.raises(GateRefused, match="points"):
        loop.promote(weak, workspace=place)
    assert loop.promote(weak, force="a test of the gate", workspace=place).reason == "forced: a test of the gate"
    assert loop.rollback("fashion", workspace=place).number == 1
    comparison = loop.compare("fashion@2", "fashion@champion", workspace=place)
    assert comparison.difference < 0
    assert not comparison.not_worse
    assert loop.compare("fashion@1", "fashion@1", workspace=place).difference == 0


def test_models_of_an_unknown_name(walked: tuple[Workspace, DemoReport]) -> None:
    """An unknown model is an error that lists the known ones."""
    place, _ = walked
    with pytest.raises(UnknownName, match="known: fashion"):
        loop.models("fasion", workspace=place)


def test_the_commands_print_what_the_functions_return(
    walked: tuple[Workspace, DemoReport], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`evaluate`, `drift` and `models` on the command line: tables, JSON, exit codes."""
    place, _ = walked
    home = ["--home", str(place.root)]

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*home, *words])
        return int(ended.value.code or 0), capsys.readouterr().out

    code, text = run("evaluate", "fashion@1", "--split", "validation", "--output", str(tmp_path / "e"))
    assert code == 0
    assert "95% interval" in text
    assert str(tmp_path / "e" / "evaluation.html") in text
    code, text = run("evaluate", "fashion@1", "--split", "validation", "--json")
    assert json.loads(text)["split"] == "validation"
    # Half of the hour's predictions were corrupted.
    code, text = run("drift", "fashion@1", "--since", "1h", "--output", str(tmp_path / "d"))
    assert code == 3
    assert "Drift:" in text
    assert (tmp_path / "d" / "drift.html").is_file()
    code, text = run("drift", "fashion@1", "--since", "1h", "--json")
    assert (code, json.loads(text)["drifted"]) == (3, True)


def test_truths_that_came_back_are_judged(
    walked: tuple[Workspace, DemoReport], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`evaluate --from-feedback` judges the logged predictions whose truth is known, and says how few there are."""
    place, _ = walked

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(place.root), "evaluate", "fashion@1", *words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    code, text = run("--from-feedback")
    assert code == 1
    assert "0 of" in text
    with open_log(place.prediction_log) as log:
        logged = log.read()
        for row in logged[:20]:
            log.label(row.request_id, "zero" if row is logged[0] else row.predicted, rating="up")
    code, text = run("--from-feedback", "--since", "1h", "--json", "--output", str(tmp_path / "e"))
    found = json.loads(text)
    assert (code, found["split"], found["num_examples"], found["ratings"]["num_up"]) == (0, "feedback", 20, 20)
    assert found["metrics"]["accuracy"]["value"] == (1 if logged[0].predicted == "zero" else 0.95)
    code, text = run("--from-feedback", "--output", str(tmp_path / "e"))
    assert "rated by people: 20 up, 0 down" in text
    for words in (("--from-feedback", "--split", "test"), ("--since", "1h")):
        assert run(*words)[0] == 2


def test_the_evaluation_stands_in_mlflow(walked: tuple[Workspace, DemoReport]) -> None:
    """Figures, plots and page of the demo's evaluation joined the run that training tracked, pictures included."""
    from loopline.tracking.mlflow import open_client

    place, report = walked
    run = next(run for run in loop.runs(workspace=place) if run.tracker == "mlflow")
    assert run.tracker_run_id is not None
    client = open_client(place)
    (metric,) = client.get_metric_history(run.tracker_run_id, "evaluation-test/accuracy")
    assert metric.value == pytest.approx(report.accuracy)
    names = {Path(item.path).name for item in client.list_artifacts(run.tracker_run_id, "evaluation-test")}
    assert names == {"calibration.png", "confusion.png", "hardest.png", "tsne.png", "evaluation.html"}


def test_a_server_that_cannot_start_is_an_error(walked: tuple[Workspace, DemoReport], tmp_path: Path) -> None:
    """The demo's server says why it did not start."""
    place, _ = walked
    with pytest.raises(StateError, match="did not start"), running_server("nosuch@1", place, log=tmp_path / "log"):
        pass


def test_a_refused_picture_is_an_error(walked: tuple[Workspace, DemoReport], tmp_path: Path) -> None:
    """What is no picture is refused by the server, and the demo does not count it as an answer."""
    place, _ = walked
    with running_server("fashion@1", place, log=tmp_path / "log") as server, pytest.raises(StateError, match="422"):
        post_pictures(server, [b"no picture"], num_clients=1, description="")


def test_another_answer_is_found(walked: tuple[Workspace, DemoReport], digits_folder: Path) -> None:
    """An answer that differs from the in-process one is an error, however little."""
    place, _ = walked
    picture = next(digits_folder.glob("*/*.png"))
    (own,) = loop.predict("fashion@1", [picture], workspace=place)
    names = loop.load("fashion@1", workspace=place).bundle.label_names
    probabilities = dict(zip(names, map(float, own.outputs), strict=True))
    same = {"label": own.predicted, "probabilities": probabilities}
    assert compare_answers([same], [own], names) == 0
    shifted = {name: value + 1e-4 for name, value in probabilities.items()}
    with pytest.raises(StateError, match="picture 0"):
        compare_answers([{**same, "probabilities": shifted}], [own], names)


def test_a_corrupted_picture_is_another_picture(digits_folder: Path) -> None:
    """The corruption is seeded, and what it makes is a picture of the same size."""
    raw = next(digits_folder.glob("*/*.png")).read_bytes()
    assert corrupt(raw, seed=1) == corrupt(raw, seed=1)
    assert len({raw, corrupt(raw, seed=1), corrupt(raw, seed=2)}) == 3


def test_a_byte_changed_stops_the_server(walked: tuple[Workspace, DemoReport], tmp_path: Path) -> None:
    """`loopline serve` refuses a registered bundle in which one byte differs."""
    place, _ = walked
    graph = find_bundle("fashion@1", place) / "graph.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    intact = graph.read_bytes()
    graph.write_bytes(bytes(data))
    try:
        with (
            pytest.raises(StateError, match=r"did not start"),
            running_server("fashion@1", place, log=tmp_path / "log"),
        ):
            pass
        assert "graph.onnx" in (tmp_path / "log").read_text()
    finally:
        graph.write_bytes(intact)


def test_the_lazy_names_are_the_loops(walked: tuple[Workspace, DemoReport]) -> None:
    """`loopline.train` is `loopline.loop.train`, and an unknown name is an error that lists the known ones."""
    assert loopline.train is loop.train
    with pytest.raises(AttributeError, match="promote"):
        _ = loopline.nonsense
