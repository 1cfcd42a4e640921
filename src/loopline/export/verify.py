"""`verify_bundle`: recomputes everything that a bundle claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from loopline.bundle import BUNDLE_FILE, read_bundle, read_drift_reference, read_reference
from loopline.core.errors import IntegrityError, LooplineError, UnknownName
from loopline.core.progress import track
from loopline.core.records import BundleCheck
from loopline.predictor import PredictorLike, open_predictor

# Remeasures parity against the checkpoint: takes the open bundle, returns what it found, raises where it disagrees.
ParityCheck = Callable[[PredictorLike], str]


def verify_bundle(folder: Path, *, check_parity: ParityCheck | None = None) -> list[BundleCheck]:
    """Recomputes digests, reference predictions, the drift reference and, given `check_parity`, parity.

    Returns one record per claim and raises nothing for a bundle that breaks one; what depends on a broken claim is not
    tried. Raises `UnknownName` where there is no bundle.
    """
    if not (folder / BUNDLE_FILE).is_file():
        raise UnknownName("bundle", str(folder), [], next_command="loopline export latest")
    checks: list[BundleCheck] = []
    opened: list[PredictorLike] = []
    claims: dict[str, Callable[[], str]] = {
        "digests": lambda: _check_digests(folder),
        "reference predictions": lambda: _check_reference(folder, opened),
        "drift reference": lambda: _check_drift(folder, opened[0]),
    }
    if check_parity is not None:
        claims["parity with the checkpoint"] = lambda: check_parity(opened[0])
    # Bytes that are not those that were written, or a bundle that does not open, leave nothing to look at further.
    needed = {"digests", "reference predictions"}
    for name, check in track(claims.items(), "Verifying", total=len(claims)):
        try:
            checks.append(BundleCheck(name=name, passed=True, found=check()))
        except LooplineError as error:
            checks.append(BundleCheck(name=name, passed=False, found=error.message))
            if name in needed:
                break
    return checks


def _check_digests(folder: Path) -> str:
    files = read_bundle(folder).files
    return f"{len(files)} files, {sum(entry.num_bytes for entry in files.values()):,} bytes"


def _check_reference(folder: Path, opened: list[PredictorLike]) -> str:
    predictor = open_predictor(folder)
    opened.append(predictor)
    raws, _ = read_reference(folder, predictor.bundle)
    return f"{len(raws)} raw inputs reproduced within {predictor.bundle.reference.tolerance:g}"


def _check_drift(folder: Path, predictor: PredictorLike) -> str:
    arrays = read_drift_reference(folder, predictor.bundle)
    outputs_NK = arrays["outputs"]
    if outputs_NK.shape[1] != len(predictor.output_names):
        raise IntegrityError(
            f"the drift reference is {outputs_NK.shape[1]} wide; an answer has {len(predictor.output_names)} outputs."
        )
    is_distribution = outputs_NK.min() >= 0 and np.allclose(outputs_NK.sum(axis=1), 1, atol=1e-4)
    if predictor.bundle.task == "classification" and not is_distribution:
        raise IntegrityError("the drift reference holds rows that are no probabilities.")
    return f"{len(outputs_NK):,} examples of split '{predictor.bundle.reference.drift_split}'"
