"""Layer 4: the whole loop as plain functions. Only this module knows several stages and hands records between them.

Every function takes a `workspace` (default: `Workspace.default()`), takes records or references to them (a run's id, a
bundle's folder or digest, `fashion@champion`), and returns records. The command line is a thin wrapper of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.core.errors import GateRefused
from loopline.core.records import (
    BundleCheck,
    DriftReport,
    Evaluation,
    ModelBundle,
    ModelVersion,
    PairedComparison,
    ResumeProof,
    Run,
)
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.predictor import Answer, PredictorLike
    from loopline.serving.settings import ServeSettings

# Chooses between versions, so that `test` goes on measuring.
_GATE_SPLIT = "validation"


def train(
    overrides: Sequence[str] = (),
    *,
    workspace: Workspace | None = None,
    resume: str | None = None,
    config_dir: Path | None = None,
) -> Run:
    """Trains what the Hydra overrides describe, as `["recipe=fashion", "trainer.max_epochs=3"]`; returns the run."""
    from loopline.training.fitting import train as train_stage

    return train_stage(overrides, workspace=_place(workspace), resume=resume, config_dir=config_dir)


def verify_resume(overrides: Sequence[str] = (), *, workspace: Workspace | None = None) -> ResumeProof:
    """Kills a run at a random step, resumes it, and compares it with one left alone."""
    from loopline.training.resume_proof import verify_resume as verify_resume_stage

    return verify_resume_stage(overrides, workspace=_place(workspace))


def runs(*, workspace: Workspace | None = None) -> list[Run]:
    """All runs of a workspace, newest first; one whose process is gone is `interrupted`."""
    from loopline.runs import list_runs

    return list_runs(_place(workspace))


def evaluate(
    subject: Run | ModelBundle | ModelVersion | str,
    *,
    split: str = "test",
    workspace: Workspace | None = None,
    output: Path | None = None,
) -> Evaluation:
    """Judges a run's best checkpoint or a bundle on a split of the snapshot that it was trained on.

    Writes the record, the predictions, the plots and a page to `output` (default: `reports/evaluations/SUBJECT-SPLIT`
    in the workspace). Raises `UnknownName` for a subject or split that does not exist.
    """
    from loopline.evaluation import JudgedSplit, JudgedSubject, evaluate_predictions
    from loopline.subjects import open_dataset, open_subject

    place = _place(workspace)
    judged = open_subject(subject, place)
    reader = open_dataset(judged.dataset, place).split(split)
    return evaluate_predictions(
        JudgedSubject(judged.kind, judged.key, judged.label_names),
        JudgedSplit(judged.dataset, reader.name, reader.digest, reader.ids, reader.targets),
        judged.predict(reader, place.cache).outputs_NK,
        output=output or place.reports / f"evaluation-{judged.short_key}-{split}",
    )


def evaluation_folder(evaluation: Evaluation, workspace: Workspace) -> Path:
    """Where `evaluate` writes an evaluation unless it is told otherwise."""
    key = evaluation.subject if evaluation.subject_kind == "run" else evaluation.subject[:12]
    return workspace.reports / f"evaluation-{key}-{evaluation.split}"


def export(
    run: Run | str = "latest",
    *,
    name: str | None = None,
    coverage: float = 0.9,
    workspace: Workspace | None = None,
) -> ModelBundle:
    """Exports the best checkpoint of a completed run as a bundle named `name` (default: as its dataset).

    A bundle that predicts a value states an interval, which held the truth in the share `coverage` of the validation
    split. Raises `StateError` for a run that is not completed and `GateRefused` where the graph does not equal the
    checkpoint.
    """
    from loopline.bundle import read_bundle
    from loopline.runs import find_run
    from loopline.subjects.exporting import export_run

    place = _place(workspace)
    run = run if isinstance(run, Run) else find_run(run, place)
    return read_bundle(export_run(run, name=name, coverage=coverage, workspace=place))


def verify_bundle(reference: ModelBundle | str, *, workspace: Workspace | None = None) -> list[BundleCheck]:
    """Recomputes everything that a bundle claims; parity too where its run lies in the workspace."""
    from loopline.export import verify_bundle as verify_stage
    from loopline.subjects import bundle_folder, parity_check

    place = _place(workspace)
    folder = bundle_folder(reference, place)
    return verify_stage(folder, check_parity=parity_check(folder, place))


def register(bundle: ModelBundle | str = "latest", *, name: str, workspace: Workspace | None = None) -> ModelVersion:
    """Registers a bundle as the next version of model `name`, linked to its run where MLflow tracked that."""
    from loopline.bundle import read_record_only
    from loopline.registry import register as register_stage
    from loopline.subjects import bundle_folder, find_run_if_here

    place = _place(workspace)
    folder = bundle_folder(bundle, place)
    run = find_run_if_here(read_record_only(folder).run_id, place)
    tracker_run_id = run.tracker_run_id if run is not None and run.tracker == "mlflow" else None
    return register_stage(folder, name=name, workspace=place, tracker_run_id=tracker_run_id)


def promote(
    version: ModelVersion | str,
    alias: str = "champion",
    *,
    split: str = _GATE_SPLIT,
    force: str | None = None,
    workspace: Workspace | None = None,
) -> ModelVersion:
    """Points `alias` at a version, where it is not worse than the version that the alias points at now.

    Both predict `split` of the challenger's snapshot; a paired bootstrap decides. `force` is a reason to promote
    whatever it says. Raises `GateRefused` with the figures.
    """
    from loopline.aliases import resolve_version
    from loopline.registry import alias_holder
    from loopline.registry import promote as promote_stage

    place = _place(workspace)
    challenger = version if isinstance(version, ModelVersion) else resolve_version(version, place)
    champion = alias_holder(challenger.name, alias, place)
    verdict = None
    if force is None and champion is not None and champion.number != challenger.number:
        verdict = compare(challenger, champion, split=split, workspace=place)
    return promote_stage(
        challenger.reference,
        alias,
        workspace=place,
        verdict=verdict,
        champion_number=None if champion is None else champion.number,
        force_reason=force,
    )


def compare(
    challenger: ModelVersion | str,
    champion: ModelVersion | str,
    *,
    split: str = _GATE_SPLIT,
    workspace: Workspace | None = None,
) -> PairedComparison:
    """Compares two versions on the same examples: a split of the challenger's snapshot, which both predict.

    Raises `GateRefused` where they know different labels.
    """
    from loopline.metrics import paired_bootstrap
    from loopline.subjects import open_dataset, open_subject

    place = _place(workspace)
    subjects = [open_subject(version, place) for version in (challenger, champion)]
    if subjects[0].label_names != subjects[1].label_names:
        raise GateRefused(
            "challenger and champion know different labels and cannot be compared.",
            next_command="loopline promote VERSION ALIAS --force 'other labels'",
        )
    # The challenger's own snapshot for both: it is the newer description of the world.
    reader = open_dataset(subjects[0].dataset, place).split(split)
    predictions = [subject.predict(reader, place.cache).outputs_NK for subject in subjects]
    correct = [outputs_NK.argmax(axis=1) == reader.targets for outputs_NK in predictions]
    return paired_bootstrap(correct[0], correct[1])


def rollback(name: str, alias: str = "champion", *, workspace: Workspace | None = None) -> ModelVersion:
    """Points an alias back at the version that it pointed to before."""
    from loopline.registry import rollback as rollback_stage

    return rollback_stage(name, alias, workspace=_place(workspace))


def models(name: str | None = None, *, workspace: Workspace | None = None) -> list[ModelVersion]:
    """All registered versions, or those of one model; raises `UnknownName` for a model that does not exist."""
    from loopline.registry import models as models_stage

    return models_stage(name, workspace=_place(workspace))


def load(reference: ModelBundle | ModelVersion | str, *, workspace: Workspace | None = None) -> PredictorLike:
    """Opens a bundle as the server does: every byte checked, reference predictions reproduced."""
    from loopline.predictor import open_predictor
    from loopline.subjects import bundle_folder

    return open_predictor(bundle_folder(reference, _place(workspace)))


def predict(
    reference: ModelBundle | ModelVersion | str,
    files: Sequence[Path | str],
    *,
    workspace: Workspace | None = None,
) -> list[Answer]:
    """Predicts files with the predictor that the server uses; raises `InvalidExample` for one that is no picture."""
    return list(load(reference, workspace=workspace).predict_raw([Path(file).read_bytes() for file in files]))


def serve(reference: str, settings: ServeSettings | None = None, *, workspace: Workspace | None = None) -> None:
    """Serves a model over HTTP until the process is told to stop; every answer goes to the prediction log."""
    from loopline.serving.server import serve as serve_stage
    from loopline.serving.settings import ServeSettings
    from loopline.subjects import bundle_folder

    place = _place(workspace)
    folder = bundle_folder(reference, place)
    serve_stage(folder, settings or ServeSettings(), model=reference, log_path=place.prediction_log)


def drift(
    reference: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    false_alarm_rate: float = 0.01,
    output: Path | None = None,
    workspace: Workspace | None = None,
) -> DriftReport:
    """Compares the logged predictions of a model's bundle in a window with the bundle's drift reference.

    Writes `drift.json` and `drift.html` to `output` (default: `reports/drift-MODEL` in the workspace). Raises
    `InputError` where the window holds too few predictions.
    """
    from loopline.bundle import read_bundle, read_drift_reference
    from loopline.monitoring import DriftSample, DriftSubject, detect_drift, write_drift_report
    from loopline.prediction_log import open_log
    from loopline.subjects import bundle_folder

    place = _place(workspace)
    folder = bundle_folder(reference, place)
    bundle = read_bundle(folder)
    with open_log(place.prediction_log, must_exist=True) as log:
        rows = log.read_columns(bundle_digest=bundle.digest, since=since, until=until)
    arrays = read_drift_reference(folder, bundle)
    expected = DriftSample(arrays["embedding"], arrays["outputs"])
    current = DriftSample(rows.embeddings, rows.outputs)
    subject = DriftSubject(
        model=reference,
        bundle_digest=bundle.digest,
        reference_digest=bundle.files[bundle.reference.drift_file].digest,
        label_names=bundle.label_names,
        window=(since, until),
    )
    report = detect_drift(expected, current, subject, false_alarm_rate=false_alarm_rate)
    write_drift_report(report, expected, current, bundle.label_names, output=output or drift_folder(reference, place))
    return report


def drift_folder(model: str, workspace: Workspace) -> Path:
    """Where `drift` writes a report unless it is told otherwise."""
    return workspace.reports / f"drift-{model.replace('@', '-').replace('/', '-')}"


def _place(workspace: Workspace | None) -> Workspace:
    return Workspace.default() if workspace is None else workspace
