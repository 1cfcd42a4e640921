"""Which split an example belongs to, decided by its content alone.

An example's place is a number from 0 to 1 read from its digest: examples below `test_share` are test, the next
`validation_share` validation, the rest train. No other example has a say, so adding or removing one moves none, and
exact duplicates land in the same split. Splits that a source brings are respected; a missing one is carved out of
train by the same rule.

N examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.data.options import Options

SPLITS = ("train", "validation", "test")
_TRAIN, _VALIDATION, _TEST = range(3)
# Spellings that are found in the wild, in lower case.
_SPELLINGS = {
    "train": _TRAIN,
    "training": _TRAIN,
    "validation": _VALIDATION,
    "valid": _VALIDATION,
    "val": _VALIDATION,
    "dev": _VALIDATION,
    "test": _TEST,
    "testing": _TEST,
}


def is_split_name(name: str) -> bool:
    """True for every known spelling of train, validation and test, in any case."""
    return name.lower() in _SPELLINGS


def assign_splits(given: Sequence[str], digests_N32: NDArray[np.uint8], options: Options) -> NDArray[np.int8]:
    """(N,) indices into `SPLITS`, from the splits that the source gives ('' for none) and the inputs' digests.

    Raises `InputError` for a name that is no split, or where the source gives splits but no train split.
    """
    codes = {name: _code(name) for name in set(given)}
    splits_N = np.fromiter((codes[name] for name in given), dtype=np.int8, count=len(given))
    brought = set(codes.values()) - {-1}
    if brought and _TRAIN not in brought and -1 not in codes.values():
        names = ", ".join(SPLITS[code] for code in sorted(brought))
        raise InputError(f"the source has the splits {names} only; expected train among them.")
    # Rows without a split are train like the given ones, as far as carving goes.
    splits_N[splits_N == -1] = _TRAIN
    place_N = _places(digests_N32)
    test_end = 0.0 if _TEST in brought else options.test_share
    # Validation keeps its interval whether or not test is brought, so that the one does not move the other.
    start, end = options.test_share, options.test_share + options.validation_share
    in_train_N = splits_N == _TRAIN
    if _VALIDATION not in brought:
        splits_N[in_train_N & (place_N >= start) & (place_N < end)] = _VALIDATION
    splits_N[in_train_N & (place_N < test_end)] = _TEST
    return splits_N


def _places(digests_N32: NDArray[np.uint8]) -> NDArray[np.float64]:
    # Bytes 8 to 15: the first ones choose the shard, which must not depend on the split.
    numbers_N = np.ascontiguousarray(digests_N32[:, 8:16]).view(">u8")[:, 0]
    return numbers_N.astype(np.float64) / 2.0**64


def _code(name: str) -> int:
    if name == "":
        return -1
    if not is_split_name(name):
        raise InputError(f"split '{name}' given; expected train, validation or test.")
    return _SPELLINGS[name.lower()]
