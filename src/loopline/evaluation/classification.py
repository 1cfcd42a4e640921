"""Labels: metrics, confusion, calibration, the hardest examples with their pictures. N examples, K classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loopline.core.records import Evaluation, HardExample
from loopline.evaluation.judged import JudgedSplit, JudgedSubject, Judgement
from loopline.evaluation.page import map_figure
from loopline.evaluation.projection import project
from loopline.metrics import calibration_bins, check_predictions, class_table, classification_metrics, confusion_matrix
from loopline.page import Figure, Figures, Section, Table
from loopline.plots import SheetPicture, class_map_png, confusion_png, picture_sheet, reliability_png
from loopline.predictor import Predicted

NUM_HARDEST = 24
# The sheet's pictures in a row; its pixels are shown at this many to one of the page.
_NUM_IN_ROW = 8
_SHEET_RATIO = 1.2
_MAX_PAIRS = 10


class ClassificationJudge:
    """Judges probabilities of label names."""

    headlines = {"accuracy": "accuracy", "f1_macro": "macro F1", "log_loss": "log loss", "ece": "calibration error"}

    def judge(self, subject: JudgedSubject, split: JudgedSplit, predicted: Predicted, *, seed: int) -> Judgement:
        """Judges the outputs as probabilities of the subject's label names."""
        names, labels_N, probabilities_NK = subject.label_names, split.targets_N, predicted.outputs_NK
        check_predictions(labels_N, probabilities_NK, num_classes=len(names))
        predicted_N = probabilities_NK.argmax(axis=1)
        counts_KK = confusion_matrix(labels_N, predicted_N, num_classes=len(names))
        bins = calibration_bins(predicted_N == labels_N, probabilities_NK.max(axis=1))
        hardest_H = np.argsort(probabilities_NK[np.arange(len(labels_N)), labels_N], kind="stable")[:NUM_HARDEST]
        hardest = tuple(_hard_example(names, split, probabilities_NK, index) for index in hardest_H)
        plots = {"confusion": confusion_png(counts_KK, names), "calibration": reliability_png(bins)}
        if (sheet := _sheet(split, hardest_H, hardest)) is not None:
            plots["hardest"] = sheet
        if (projection := project(predicted.embedding_ND, seed=seed)) is not None:
            plots["tsne"] = class_map_png(projection.points_M2, labels_N[projection.chosen_M], names)
        return Judgement(
            metrics=classification_metrics(labels_N, probabilities_NK, seed=seed),
            primary_metric="accuracy",
            details={
                "per_class": class_table(counts_KK, names),
                "confusion": tuple(tuple(int(count) for count in row) for row in counts_KK),
                "calibration": bins,
                "hardest": hardest,
            },
            arrays={"labels": labels_N.astype(np.int64), "probabilities": probabilities_NK.astype(np.float32)},
            plots=plots,
        )

    def sections(self, evaluation: Evaluation, plots: Mapping[str, bytes]) -> list[Section]:
        """Confusion and calibration, classes, embeddings, the hardest examples."""
        hardest = [Figures((_sheet_figure(plots["hardest"], evaluation),))] if "hardest" in plots else []
        sections = [
            Section("Confusion and calibration", (Figures(_figures(plots)),)),
            Section("Classes", (_class_rows(evaluation), _pair_rows(evaluation))),
            Section("Hardest examples", (*hardest, _hardest_rows(evaluation))),
        ]
        if "tsne" in plots:
            figure = map_figure(plots["tsne"], coloured_by="true class")
            sections.insert(2, Section("Embeddings", (Figures((figure,)),)))
        return sections


def _hard_example(
    label_names: Sequence[str], split: JudgedSplit, probabilities_NK: NDArray[np.float32], index: int
) -> HardExample:
    row_K = probabilities_NK[index]
    return HardExample(
        example_id=str(split.ids[index]),
        label=label_names[split.targets_N[index]],
        predicted=label_names[int(row_K.argmax())],
        confidence=float(np.clip(row_K.max(), 0, 1)),
        label_probability=float(np.clip(row_K[split.targets_N[index]], 0, 1)),
    )


def _sheet(split: JudgedSplit, hardest_H: NDArray[np.int64], hardest: Sequence[HardExample]) -> bytes | None:
    """The pictures of the hardest examples, or None where there are none to show."""
    if split.input_kind != "image":
        return None
    pictures = []
    for index, example in zip(hardest_H, hardest, strict=True):
        raw = split.shown_raw(int(index))
        if raw is None:
            return None
        lines = (example.label, f"{example.predicted} {example.confidence:.0%}")
        pictures.append(SheetPicture(raw, lines, example.predicted != example.label))
    try:
        return picture_sheet([pictures[start : start + _NUM_IN_ROW] for start in range(0, len(pictures), _NUM_IN_ROW)])
    except (OSError, Image.DecompressionBombError):
        # A project's own decoder may read pictures that Pillow does not know; the table lists the examples anyway.
        return None


def _figures(plots: Mapping[str, bytes]) -> tuple[Figure, Figure]:
    confusion = Figure(
        plots["confusion"],
        alt="Confusion matrix: true classes in rows, predicted classes in columns, counts in the cells.",
        caption="Row: true class. Column: predicted class. Shade and per cent: share of the row.",
    )
    calibration = Figure(
        plots["calibration"],
        alt="Reliability diagram: accuracy against confidence, with the number of predictions per bin.",
        caption="Bars below the dashed line: the model is too sure. Above it: too modest.",
    )
    return confusion, calibration


def _sheet_figure(png: bytes, evaluation: Evaluation) -> Figure:
    words = "; ".join(f"{row.label} taken for {row.predicted}" for row in evaluation.hardest)
    return Figure(
        png,
        alt=f"The pictures of the hardest examples. {words}.",
        caption="Above: the true class. Below: the predicted one with its probability, red where it is wrong.",
        pixel_ratio=_SHEET_RATIO,
    )


def _class_rows(evaluation: Evaluation) -> Table:
    rows = tuple(
        (row.label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.num_examples:,}")
        for row in evaluation.per_class
    )
    return Table("Precision, recall and F1 of each class", ("class", "precision", "recall", "F1", "examples"), rows)


def _pair_rows(evaluation: Evaluation) -> Table:
    """The pairs of classes that are mistaken most, true label first."""
    errors_KK = np.array(evaluation.confusion)
    num_labelled_K = errors_KK.sum(axis=1)
    np.fill_diagonal(errors_KK, 0)
    rows = []
    for cell in np.argsort(-errors_KK, axis=None, kind="stable")[:_MAX_PAIRS]:
        true, predicted = divmod(int(cell), len(errors_KK))
        if count := errors_KK[true, predicted]:
            names = evaluation.label_names[true], evaluation.label_names[predicted]
            rows.append((*names, f"{count:,}", f"{count / num_labelled_K[true]:.1%}"))
    columns = ("true class", "taken for", "examples", "share of the true class")
    return Table("What is mistaken for what, most often first", columns, tuple(rows))


def _hardest_rows(evaluation: Evaluation) -> Table:
    rows = tuple(
        (row.example_id, row.label, row.predicted, f"{row.confidence:.3f}", f"{row.label_probability:.2g}")
        for row in evaluation.hardest
    )
    columns = ("example", "true class", "predicted", "its probability", "probability of the true class")
    return Table("Examples whose true class got the lowest probability", columns, rows)
