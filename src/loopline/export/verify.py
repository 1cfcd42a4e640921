"""`verify_bundle`: recomputes everything that a bundle claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from loopline.bundle import list_files, read_bundle, read_drift_reference, read_file, read_reference
from loopline.core.errors import LooplineError
from loopline.core.records import BundleCheck, ModelBundle
from loopline.predictor import Predictor, open_predictor

# Remeasures parity against the checkpoint: takes the open bundle, returns what it found, raises where it disagrees.
ParityCheck = Callable[[Predictor], str]


def verify_bundle(folder: Path, *, check_parity: ParityCheck | None = None) -> list[BundleCheck]:
    """Recomputes digests, reference predictions, the drift reference and, given `check_parity`, parity.

    Returns one record per claim and raises nothing for a bundle that breaks one; what depends on a broken claim is not
    tried. Raises `UnknownName` where there is no bundle.
    """
    checks: list[BundleCheck] = []

    def holds(name: str, check: Callable[[], str]) -> bool:
        try:
            checks.append(BundleCheck(name=name, passed=True, found=check()))
        except LooplineError as error:
            checks.append(BundleCheck(name=name, passed=False, found=error.message))
        return checks[-1].passed

    if not holds("digests", lambda: _check_digests(folder)):
        return checks
    predictor: list[Predictor] = []
    if holds("reference predictions", lambda: _check_reference(folder, predictor)):
        holds("drift reference", lambda: _check_drift(folder, predictor[0].bundle))
        if check_parity is not None:
            holds("parity with the checkpoint", lambda: check_parity(predictor[0]))
    return checks


def _check_digests(folder: Path) -> str:
    bundle = read_bundle(folder)
    # Read once more by name, so that this check does not rest on the reader's own bookkeeping.
    files = {path: read_file(folder, bundle, path) for path in bundle.files}
    return f"{len(list_files(files))} files, {sum(map(len, files.values())):,} bytes"


def _check_reference(folder: Path, opened: list[Predictor]) -> str:
    predictor = open_predictor(folder)
    opened.append(predictor)
    raws, _ = read_reference(folder, predictor.bundle)
    return f"{len(raws)} raw inputs reproduced within {predictor.bundle.reference.tolerance:g}"


def _check_drift(folder: Path, bundle: ModelBundle) -> str:
    arrays = read_drift_reference(folder, bundle)
    sums_N = arrays["probability"].sum(axis=1)
    if arrays["probability"].shape[1] != len(bundle.label_names) or not np.allclose(sums_N, 1, atol=1e-4):
        raise LooplineError("the drift reference holds no probabilities of the bundle's labels.")
    return f"{len(sums_N):,} examples of split '{bundle.reference.drift_split}'"
