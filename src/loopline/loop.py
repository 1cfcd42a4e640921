"""Layer 4: the whole loop as plain functions. Only this module knows several stages and hands records between them.

Every function takes a `workspace` (default: `Workspace.default()`), takes records or references to them (a run's id, a
bundle's folder or digest, `fashion@champion`), and returns records. The command line is a thin wrapper of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.core.records import (
    BundleCheck,
    DriftReport,
    Evaluation,
    ModelBundle,
    ModelVersion,
    PairedComparison,
    ResumeProof,
    Run,
    Sweep,
    SweepSettings,
    Trial,
)
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.evaluation import JudgedSubject
    from loopline.predictor import Answer, PredictorLike
    from loopline.serving.settings import ServeSettings
    from loopline.subjects import Subject

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
    from loopline.training.running import train as train_stage

    return train_stage(overrides, workspace=_place(workspace), resume=resume, config_dir=config_dir)


def verify_resume(overrides: Sequence[str] = (), *, workspace: Workspace | None = None) -> ResumeProof:
    """Kills a run at a random step, resumes it, and compares it with one left alone."""
    from loopline.training.resume_proof import verify_resume as verify_resume_stage

    return verify_resume_stage(overrides, workspace=_place(workspace))


def sweep(
    overrides: Sequence[str] = (),
    *,
    space: Sequence[str] = (),
    settings: SweepSettings | None = None,
    resume: str | None = None,
    on_trial: Callable[[Trial, Sweep], None] | None = None,
    workspace: Workspace | None = None,
) -> Sweep:
    """Searches a space, as `["recipe=fashion", "optimizer.lr=1e-4..1e-1:log"]`, by trials that are runs of their own.

    `resume` goes on with a sweep. Writes what `run_sweep` does, and the page; raises what it and `plan_sweep` raise.
    """
    from loopline.sweep import TrialProcesses, continued, run_sweep, write_page

    place = _place(workspace)
    if resume is None:
        found = plan_sweep(overrides, space=space, settings=settings, workspace=place)
    else:
        found = continued(resume, (*overrides, *space), settings or SweepSettings(), place)
    done = run_sweep(found, launch=TrialProcesses(found, place), workspace=place, on_trial=on_trial)
    write_page(done, place)
    return done


def plan_sweep(
    overrides: Sequence[str] = (),
    *,
    space: Sequence[str] = (),
    settings: SweepSettings | None = None,
    workspace: Workspace | None = None,
) -> Sweep:
    """The sweep that `sweep` would run, with every key checked; writes nothing."""
    from loopline.snapshots import find_snapshot
    from loopline.sweep import Objective
    from loopline.sweep import plan_sweep as plan_stage
    from loopline.training.compose import compose

    place, settings = _place(workspace), settings or SweepSettings()
    config_dir = None if settings.config_dir is None else Path(settings.config_dir)

    def describe(overrides: Sequence[str]) -> Objective:
        config = compose(overrides, config_dir=config_dir)
        find_snapshot(config.data.name, place)
        return Objective(config.name, config.monitored, config.monitor_mode, config.trainer.max_epochs)

    return plan_stage(overrides, space, settings, describe=describe, workspace=place)


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

    Writes the record, the predictions, the plots and a page to `output` (default: `reports/evaluation-SUBJECT-SPLIT`
    in the workspace), and adds metrics and plots to the MLflow run that the subject belongs to, where it was tracked
    there. Raises `UnknownName` for a subject or split that does not exist.
    """
    from loopline.evaluation import JudgedSplit, evaluate_predictions
    from loopline.subjects import open_dataset, open_subject

    place = _place(workspace)
    opened = open_subject(subject, place)
    snapshot = open_dataset(opened.dataset, place)
    reader = snapshot.split(split)
    judged = JudgedSplit(
        opened.dataset,
        reader.name,
        reader.digest,
        reader.ids,
        reader.targets,
        input_kind=snapshot.manifest.input_kind,
        raw=reader.raw,
        confidential=snapshot.manifest.confidential,
    )
    folder = output or place.reports / f"evaluation-{opened.short_key}-{split}"
    predicted = opened.predict(reader, place.cache)
    evaluation = evaluate_predictions(_judged(opened), judged, predicted, output=folder)
    _track_evaluation(evaluation, opened.run_id, folder, place)
    return evaluation


def evaluate_feedback(
    reference: ModelBundle | ModelVersion | str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    workspace: Workspace | None = None,
    output: Path | None = None,
) -> Evaluation:
    """Judges the served predictions of a bundle that got their truth through `/feedback`, from `since` to `until`.

    Writes what `evaluate` writes; the split is called `feedback`. Raises `InputError` where fewer than ten predictions
    in the prediction log have a truth.
    """
    from loopline.bundle import read_bundle
    from loopline.evaluation import FEEDBACK_SPLIT, JudgedSubject, evaluate_predictions, feedback_split
    from loopline.prediction_log import log_of, open_log
    from loopline.subjects import bundle_folder

    place = _place(workspace)
    bundle = read_bundle(bundle_folder(reference, place))
    with open_log(log_of(place), must_exist=True) as log:
        rows = log.read_columns(bundle_digest=bundle.digest, since=since, until=until)
    split, predicted = feedback_split(bundle, rows)
    folder = output or place.reports / f"evaluation-{bundle.digest[:12]}-{FEEDBACK_SPLIT}"
    evaluation = evaluate_predictions(JudgedSubject.of_bundle(bundle), split, predicted, output=folder)
    _track_evaluation(evaluation, bundle.run_id, folder, place)
    return evaluation


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

    By accuracy, mean absolute error or chrF, whichever is the task's. Raises `GateRefused` where the two answer
    different questions: other labels, another unit.
    """
    from loopline.evaluation import check_comparable, compare_predictions
    from loopline.subjects import open_dataset, open_subject

    place = _place(workspace)
    first, second = (open_subject(version, place) for version in (challenger, champion))
    check_comparable(_judged(first), _judged(second))
    # The challenger's own snapshot for both: it is the newer description of the world.
    reader = open_dataset(first.dataset, place).split(split)
    predicted = [subject.predict(reader, place.cache) for subject in (first, second)]
    return compare_predictions(reader.targets, predicted[0], predicted[1], task=first.task)


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
    find = partial(bundle_folder, workspace=place)
    serve_stage(folder, settings or ServeSettings(), model=reference, log_path=place.prediction_log, find=find)


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
    from loopline.prediction_log import log_of, open_log
    from loopline.subjects import bundle_folder

    place = _place(workspace)
    folder = bundle_folder(reference, place)
    bundle = read_bundle(folder)
    with open_log(log_of(place), must_exist=True) as log:
        rows = log.read_columns(bundle_digest=bundle.digest, since=since, until=until)
    arrays = read_drift_reference(folder, bundle)
    expected = DriftSample(arrays["embedding"], arrays["outputs"])
    current = DriftSample(rows.embeddings, rows.outputs)
    subject = DriftSubject(
        model=reference,
        bundle_digest=bundle.digest,
        reference_digest=bundle.files[bundle.reference.drift_file].digest,
        task=bundle.task,
        # Of one bundle, so that they name the reference's columns too.
        output_names=rows.output_names or bundle.label_names,
        unit=bundle.unit,
        window=(since, until),
    )
    report = detect_drift(expected, current, subject, false_alarm_rate=false_alarm_rate)
    write_drift_report(report, expected, current, subject, output=output or drift_folder(reference, place))
    return report


def drift_folder(model: str, workspace: Workspace) -> Path:
    """Where `drift` writes a report unless it is told otherwise."""
    return workspace.reports / f"drift-{model.replace('@', '-').replace('/', '-')}"


def _place(workspace: Workspace | None) -> Workspace:
    return Workspace.default() if workspace is None else workspace


def _judged(subject: Subject) -> JudgedSubject:
    from loopline.evaluation import JudgedSubject

    return JudgedSubject(subject.kind, subject.key, subject.task, subject.label_names, subject.unit, subject.coverage)


def _track_evaluation(evaluation: Evaluation, run_id: str, folder: Path, workspace: Workspace) -> None:
    from loopline.subjects import find_run_if_here
    from loopline.tracking import log_evaluation

    run = find_run_if_here(run_id, workspace)
    if run is not None:
        log_evaluation(run, evaluation, folder, workspace)
