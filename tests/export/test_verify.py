"""`verify_bundle`: every claim of a bundle, recomputed; every broken one named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from loopline.bundle import BUNDLE_FILE, bundle_digest, list_files, pack_arrays
from loopline.core.errors import GateRefused, UnknownName
from loopline.export import verify_bundle
from loopline.predictor import PredictorLike
from loopline.testing import make_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle for one test to break."""
    return make_bundle(tmp_path)


def reseal(folder: Path, path: str, data: bytes) -> None:
    """Replaces a file of a bundle and corrects every digest."""
    (folder / path).write_bytes(data)
    value = json.loads((folder / BUNDLE_FILE).read_text())
    value["files"][path] = list_files({path: data})[path].model_dump(mode="json")
    value["digest"] = bundle_digest(value)
    (folder / BUNDLE_FILE).write_text(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def test_every_claim_of_a_good_bundle_holds(folder: Path) -> None:
    """Digests, reference predictions and drift reference, each with what was found."""
    checks = verify_bundle(folder)
    assert [(check.name, check.passed) for check in checks] == [
        ("digests", True),
        ("reference predictions", True),
        ("drift reference", True),
    ]
    assert checks[0].found.startswith("4 files, ")
    assert checks[1].found == "16 raw inputs reproduced within 0.001"
    assert checks[2].found == "200 examples of split 'validation'"


def test_parity_is_measured_where_it_can_be(folder: Path) -> None:
    """A check of the checkpoint runs on the open bundle, and its refusal is a failed claim."""

    def agrees(predictor: PredictorLike) -> str:
        return f"{predictor.bundle.name} agrees"

    def differs(predictor: PredictorLike) -> str:
        raise GateRefused(f"{predictor.bundle.name} differs.")

    assert verify_bundle(folder, check_parity=agrees)[-1].found == "tiny agrees"
    failed = verify_bundle(folder, check_parity=differs)[-1]
    assert (failed.name, failed.passed, failed.found) == ("parity with the checkpoint", False, "tiny differs.")


def test_a_changed_byte_ends_the_checks(folder: Path) -> None:
    """Where the bytes are not those that were written, nothing further is tried."""
    (folder / "card.md").write_text("a better card")
    (check,) = verify_bundle(folder)
    assert (check.name, check.passed) == ("digests", False)
    assert "card.md" in check.found


def test_skew_is_a_failed_claim(folder: Path, tmp_path: Path) -> None:
    """A graph that does not reproduce the references fails that claim, with right digests."""
    other = make_bundle(tmp_path / "other", seed=1)
    reseal(folder, "graph.onnx", (other / "graph.onnx").read_bytes())
    assert [check.passed for check in verify_bundle(folder)] == [True, False]


@pytest.mark.parametrize(
    ("outputs_NK", "sentence"),
    [
        (np.full((200, 3), 0.5, np.float32), "no probabilities"),
        (np.full((200, 4), 0.25, np.float32), "4 wide; an answer has 3 outputs"),
    ],
)
def test_a_senseless_drift_reference_is_a_failed_claim(folder: Path, outputs_NK: np.ndarray, sentence: str) -> None:
    """Rows that do not sum to 1 and widths that are not an answer's are named."""
    arrays = {"embedding": np.zeros((200, 8), np.float32), "outputs": outputs_NK}
    reseal(folder, "drift.npz", pack_arrays(arrays))
    check = verify_bundle(folder)[-1]
    assert (check.name, check.passed) == ("drift reference", False)
    assert sentence in check.found


def test_where_no_bundle_is_there_is_nothing_to_verify(tmp_path: Path) -> None:
    """A folder without a bundle is an unknown name, not a failed claim."""
    shutil.rmtree(tmp_path)
    with pytest.raises(UnknownName):
        verify_bundle(tmp_path)
