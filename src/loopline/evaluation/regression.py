"""Quantities: errors, intervals, what was predicted at each level, the furthest off. N examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.records import Evaluation, ValueExample
from loopline.evaluation.judged import JudgedSplit, JudgedSubject, Judgement
from loopline.evaluation.page import map_figure, shown
from loopline.evaluation.projection import project
from loopline.metrics import Values, level_bands, regression_metrics
from loopline.page import Figure, Figures, Section, Table
from loopline.plots import predicted_true_png, residuals_png, value_map_png
from loopline.predictor import Predicted

NUM_FURTHEST = 24


class RegressionJudge:
    """Judges values and, where the subject states them, the intervals around them."""

    headlines = {"mae": "mean absolute error", "r2": "R²", "bias": "bias", "coverage": "truths in the interval"}

    def judge(self, subject: JudgedSubject, split: JudgedSplit, predicted: Predicted, *, seed: int) -> Judgement:
        """Judges the output `value` and, where they are, `low` and `high`."""
        columns = predicted_columns(predicted)
        targets_N, values_N, unit = split.targets_N, columns["value"], subject.unit or ""
        metrics = regression_metrics(targets_N, Values(values_N, columns.get("low"), columns.get("high")), seed=seed)
        levels = level_bands(targets_N, values_N)
        plots = {
            "predicted": predicted_true_png(targets_N, values_N, unit=unit, levels=levels),
            "residuals": residuals_png(targets_N, values_N, unit=unit),
        }
        if (projection := project(predicted.embedding_ND, seed=seed)) is not None:
            label = f"true, {unit}" if unit else "true"
            plots["tsne"] = value_map_png(projection.points_M2, targets_N[projection.chosen_M], label=label)
        return Judgement(
            metrics=metrics,
            primary_metric="mae",
            details={"levels": levels, "furthest": _furthest(split, columns)},
            arrays={"targets": targets_N.astype(np.float32), **columns},
            plots=plots,
        )

    def sections(self, evaluation: Evaluation, plots: Mapping[str, bytes]) -> list[Section]:
        """Predicted against true, levels, embeddings, the furthest off."""
        figures = (
            Figure(
                plots["predicted"],
                alt="Scatter plot: predicted against true values, with the diagonal of perfect predictions.",
                caption="On the dashed line the prediction is the truth.",
            ),
            Figure(
                plots["residuals"],
                alt="Scatter plot and histogram: predicted minus true, over the predicted value.",
                caption="Predicted minus true. A slope or a fan tells where the model is wrong in one way.",
            ),
        )
        sections = [Section("Predicted and true", (Figures(figures),))]
        if evaluation.levels:
            sections.append(Section("Levels", (_level_rows(evaluation),)))
        if "tsne" in plots:
            figure = map_figure(plots["tsne"], coloured_by="true value")
            sections.append(Section("Embeddings", (Figures((figure,)),)))
        return [*sections, Section("Furthest off", (_furthest_rows(evaluation),))]


def predicted_columns(predicted: Predicted) -> dict[str, NDArray[np.float32]]:
    """The outputs by name; raises `InputError` where there is no `value`."""
    if "value" not in predicted.names or predicted.outputs_NK.shape[1] != len(predicted.names):
        raise InputError(
            f"outputs {', '.join(predicted.names) or 'without a name'} of shape {predicted.outputs_NK.shape} given; "
            "expected 'value', one column per name."
        )
    return {name: predicted.outputs_NK[:, index] for index, name in enumerate(predicted.names)}


def _furthest(split: JudgedSplit, columns: Mapping[str, NDArray[np.float32]]) -> tuple[ValueExample, ...]:
    errors_N = np.abs(columns["value"].astype(np.float64) - split.targets_N)
    return tuple(
        ValueExample(
            example_id=str(split.ids[index]),
            target=float(split.targets_N[index]),
            predicted=float(columns["value"][index]),
            low=float(columns["low"][index]) if "low" in columns else None,
            high=float(columns["high"][index]) if "high" in columns else None,
        )
        for index in np.argsort(-errors_N, kind="stable")[:NUM_FURTHEST]
    )


def _level_rows(evaluation: Evaluation) -> Table:
    rows = tuple(
        (
            f"{band.level:g}",
            f"{band.num_examples:,}",
            shown(band.mean),
            shown(band.median),
            f"{shown(band.low)} – {shown(band.high)}",
            shown(band.mae),
        )
        for band in evaluation.levels
    )
    columns = ("true level", "examples", "mean", "median", "middle 90%", "mean absolute error")
    return Table(_with_unit("What was predicted at each true level", evaluation), columns, rows)


def _furthest_rows(evaluation: Evaluation) -> Table:
    rows = tuple(
        (
            row.example_id,
            shown(row.target),
            shown(row.predicted),
            shown(row.predicted - row.target),
            "–" if row.low is None or row.high is None else f"{shown(row.low)} – {shown(row.high)}",
        )
        for row in evaluation.furthest
    )
    columns = ("example", "true", "predicted", "predicted minus true", "interval")
    return Table(_with_unit("Examples whose prediction is furthest from the truth", evaluation), columns, rows)


def _with_unit(caption: str, evaluation: Evaluation) -> str:
    return f"{caption}, {evaluation.unit}" if evaluation.unit else caption
