"""Layer 4, beside the loop: what comes between a bundle and the people who use it.

As in `loop`, every function takes a `workspace` (default: `Workspace.default()`) and returns records.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from loopline.core.records import (
    LoadTest,
    ModelBundle,
    ModelVersion,
    Optimization,
    PairedComparison,
    ServedComparison,
)
from loopline.core.workspace import Workspace

if TYPE_CHECKING:
    from loopline.loadtest import LoadSettings
    from loopline.loadtest.plan import Plan
    from loopline.optimization import OptimizeSettings
    from loopline.predictor import Predicted
    from loopline.serving.scaling import RaySettings
    from loopline.serving.settings import ServeSettings

API_KEY_VARIABLE = "LOOPLINE_API_KEY"


def optimize(
    reference: ModelBundle | ModelVersion | str,
    settings: OptimizeSettings | None = None,
    *,
    output: Path | None = None,
    workspace: Workspace | None = None,
) -> Optimization:
    """Tries ways to make a bundle faster, and writes the fastest whose drop is allowed as a new bundle.

    Accuracy is measured on the whole validation split, paired with the parent's; speed on this machine, side by side.
    Writes record, plot and page to `output` (default: `reports/optimization-BUNDLE` in the workspace), also where no
    candidate is chosen; then it raises `GateRefused`.
    """
    from loopline.evaluation import compare_predictions
    from loopline.optimization import OptimizeSettings, write_optimization
    from loopline.optimization import optimize as optimize_stage
    from loopline.optimization.trying import refusal
    from loopline.predictor import open_predictor
    from loopline.subjects import bundle_folder
    from loopline.subjects.optimizing import Bench

    place = workspace or Workspace.default()
    parent = open_predictor(bundle_folder(reference, place), num_threads=1)

    def compare(targets_N: NDArray[Any], challenger: Predicted, champion: Predicted) -> PairedComparison:
        return compare_predictions(targets_N, challenger, champion, task=parent.bundle.task)

    optimization = optimize_stage(
        Bench(parent, place, compare=compare), settings or OptimizeSettings(), bundles=place.bundles
    )
    write_optimization(optimization, output or optimization_folder(optimization, place))
    if optimization.chosen is None:
        raise refusal(optimization)
    return optimization


def optimization_folder(optimization: Optimization, workspace: Workspace) -> Path:
    """Where `optimize` writes its report unless it is told otherwise."""
    return workspace.reports / f"optimization-{optimization.parent[:12]}"


def load_test(
    url: str,
    inputs: Path,
    settings: LoadSettings | None = None,
    *,
    is_own: bool = False,
    output: Path | None = None,
    workspace: Workspace | None = None,
) -> LoadTest:
    """Asks the server at `url` about the files in a folder, step by step, and tells what it carries.

    Writes record, plots and page to `output` (default: `reports/load-DIGEST` in the workspace). Where the server wants
    a key, it is read from the variable `LOOPLINE_API_KEY`. Raises `InputError` for a server on another machine that is
    not one's own (`is_own`), and `StateError` where no Loopline server answers.
    """
    from loopline.loadtest import LoadSettings, run_load, summarize, write_load_test

    settings = settings or LoadSettings()
    plan, model = _load_plan(url, inputs, settings, is_own=is_own)
    test = summarize(run_load(plan), plan, settings.slos, model=model["model"], bundle=model["bundle_digest"])
    write_load_test(test, output or load_test_folder(test, workspace or Workspace.default()))
    return test


def open_load_page(
    url: str, inputs: Path, settings: LoadSettings | None = None, *, port: int = 8089, is_own: bool = False
) -> int:
    """Opens Locust's own page, which loads the same server in the same way, until Ctrl-C; returns its exit code."""
    from loopline.loadtest import LoadSettings, open_web

    plan, _ = _load_plan(url, inputs, settings or LoadSettings(), is_own=is_own)
    return open_web(plan, port=port)


def load_test_folder(test: LoadTest, workspace: Workspace) -> Path:
    """Where `load_test` writes its report unless it is told otherwise."""
    return workspace.reports / f"load-{test.bundle[:12]}"


def serve_on_ray(
    reference: str,
    settings: ServeSettings | None = None,
    scaling: RaySettings | None = None,
    *,
    workspace: Workspace | None = None,
) -> None:
    """Serves a model as replicas on a Ray cluster; see `loopline.serving.on_ray` for when it returns."""
    from loopline.core.tables import load
    from loopline.serving.scaling import RaySettings
    from loopline.serving.settings import ServeSettings
    from loopline.subjects import bundle_folder

    place = workspace or Workspace.default()
    load("loopline.serving.on_ray:serve_on_ray")(
        bundle_folder(reference, place),
        settings or ServeSettings(),
        scaling or RaySettings(),
        model=reference,
        log_path=place.prediction_log,
    )


def compare_served(
    champion: str,
    challenger: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    log: str | Path | None = None,
    workspace: Workspace | None = None,
) -> ServedComparison:
    """Compares what two aliases answered in a window, from the prediction log (`log`; default: the workspace's).

    Of each alias the bundle that it points to now counts. Raises `GateRefused` where the two answer different
    questions, `InputError` where one of them answered nothing in the window.
    """
    from loopline.bundle import read_bundle
    from loopline.evaluation import JudgedSubject, Served, check_comparable
    from loopline.evaluation import compare_served as compare_stage
    from loopline.prediction_log import log_of, open_log
    from loopline.subjects import bundle_folder

    place = workspace or Workspace.default()
    models = (champion, challenger)
    bundles = [read_bundle(bundle_folder(model, place)) for model in models]
    check_comparable(*(JudgedSubject.of_bundle(bundle) for bundle in reversed(bundles)))
    with open_log(log or log_of(place), must_exist=True) as opened:
        sides = [
            Served(
                model,
                bundle,
                opened.read_columns(model=model, bundle_digest=bundle.digest, since=since, until=until),
            )
            for model, bundle in zip(models, bundles, strict=True)
        ]
    return compare_stage(*sides)


def _load_plan(url: str, inputs: Path, settings: LoadSettings, *, is_own: bool) -> tuple[Plan, dict[str, Any]]:
    """What is to be asked, and what the server says about its model."""
    from loopline.loadtest import ask_model, prepare_requests, refuse_strangers
    from loopline.loadtest.plan import Plan

    address = refuse_strangers(url, is_own=is_own)
    key = os.environ.get(API_KEY_VARIABLE)
    headers = {} if key is None else {"X-API-Key": key}
    model = ask_model(address, headers)
    plan = Plan(
        url=address,
        headers=headers,
        requests=tuple(prepare_requests(inputs, model["input_kind"])),
        steps=settings.steps,
        step_s=settings.step_s,
        rate_per_s=settings.rate_per_s,
        timeout_s=settings.timeout_s,
    )
    return plan, model
