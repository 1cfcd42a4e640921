"""Two models by what they answered: pairs of a shadow, separate requests of a split, and what is not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from loopline.bundle import read_bundle
from loopline.core.errors import InputError
from loopline.core.records import ModelBundle
from loopline.evaluation import Served, compare_served
from loopline.prediction_log import PredictionColumns
from loopline.testing import make_bundle, make_value_bundle

LABELS = ("circle", "cross", "square")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return read_bundle(make_bundle(tmp_path_factory.mktemp("bundles")))


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return read_bundle(make_value_bundle(tmp_path_factory.mktemp("values")))


def served(
    model: str, bundle: ModelBundle, answers: Sequence[float], truths: Sequence[str | None], *, first: int = 0
) -> Served:
    """Answers (indices of labels, or values) to the requests `first`, `first` + 1, …, with truths of some."""
    is_value = bundle.task == "regression"
    outputs = [[answer] if is_value else np.eye(3)[int(answer)] for answer in answers]
    now = datetime(2026, 11, 21, tzinfo=UTC)
    rows = PredictionColumns(
        bundle_digest=bundle.digest,
        output_names=("value",) if is_value else LABELS,
        request_ids=[f"r{first + index}" for index in range(len(answers))],
        created_at=[now + timedelta(seconds=index) for index in range(len(answers))],
        predicted=[f"{answer:g}" if is_value else LABELS[int(answer)] for answer in answers],
        labels=list(truths),
        ratings=[None] * len(answers),
        outputs=np.array(outputs, np.float32).reshape(len(answers), 1 if is_value else 3),
        embeddings=np.zeros((len(answers), 2), np.float32),
        infer_ms=np.linspace(1, 2, len(answers)),
    )
    return Served(model, bundle, rows)


def test_a_shadow_is_compared_pair_by_pair(bundle: ModelBundle) -> None:
    """Forty requests that both saw; the challenger is right on ten more."""
    truths = ["cross"] * 40
    champion = served("m@champion", bundle, [1] * 30 + [0] * 10, truths)
    challenger = served("m@challenger", bundle, [1] * 40, truths)
    result = compare_served(champion, challenger)
    assert (result.num_pairs, result.agreement) == (40, 0.75)
    assert (result.champion.score, result.challenger.score) == (0.75, 1.0)
    assert result.paired is not None
    assert (result.paired.num_won, result.paired.num_lost) == (10, 0)
    assert result.paired.difference == pytest.approx(0.25)
    assert result.champion.p50_infer_ms == pytest.approx(1.5)


def test_a_truth_is_of_a_request(bundle: ModelBundle) -> None:
    """Feedback that came before the shadow's row is the shadow's truth, too."""
    result = compare_served(
        served("m@champion", bundle, [1, 0], ["cross", "cross"]), served("m@challenger", bundle, [1, 1], [None, None])
    )
    assert (result.challenger.num_labelled, result.challenger.score) == (2, 1.0)
    assert result.paired is not None
    assert (result.paired.num_won, result.paired.num_lost) == (1, 0)


def test_a_split_is_compared_by_its_own_requests(bundle: ModelBundle) -> None:
    """No request was seen by both; the difference has an interval that knows how many there were."""
    champion = served("m@champion", bundle, [1, 0] * 100, ["cross"] * 200)
    challenger = served("m@challenger", bundle, [1] * 20, ["cross"] * 20, first=500)
    result = compare_served(champion, challenger)
    assert (result.num_pairs, result.agreement, result.paired) == (0, None, None)
    assert result.difference == pytest.approx(0.5)
    assert result.low is not None
    assert result.high is not None
    assert 0.2 < result.low < 0.5 <= result.high < 0.65


def test_errors_of_values_are_better_small(values: ModelBundle) -> None:
    """A challenger that errs by one where the champion errs by three gains two."""
    truths = ["10.0"] * 30
    result = compare_served(
        served("m@champion", values, [13.0] * 30, truths), served("m@challenger", values, [11.0] * 30, truths)
    )
    assert (result.metric, result.champion.score, result.challenger.score) == ("mae", 3.0, 1.0)
    assert result.difference == pytest.approx(2.0)
    assert result.paired is not None
    assert result.paired.difference > 0.5


def test_without_truths_it_says_what_is_known(bundle: ModelBundle) -> None:
    result = compare_served(
        served("m@champion", bundle, [0, 1, 2], [None, "cross", None]),
        served("m@challenger", bundle, [0, 1], [None] * 2),
    )
    assert (result.num_pairs, result.agreement) == (2, 1.0)
    assert result.champion.num_labelled == 1
    unknown = compare_served(served("m@champion", bundle, [0], [None]), served("m@challenger", bundle, [0], [None]))
    assert (unknown.difference, unknown.paired, unknown.challenger.score) == (None, None, None)


def test_a_side_that_answered_nothing_is_a_sentence(bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no answer of m@challenger") as caught:
        compare_served(served("m@champion", bundle, [0], [None]), served("m@challenger", bundle, [], []))
    assert caught.value.next_command == "loopline serve m@champion --shadow m@challenger"
