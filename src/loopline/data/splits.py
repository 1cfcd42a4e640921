"""Which split an example belongs to, decided by its content alone.

An example's place is a number from 0 to 1 read from its digest: examples below `test_share` are test, the next
`validation_share` validation, the rest train. No other example has a say, so adding or removing one moves none, and
exact duplicates land in the same split. Splits that a source brings are respected; a missing one is carved out of
train by the same rule.

Where examples belong to groups (a field, a person, a machine), a group stands in one split as a whole, for examples of
one group resemble each other more than those that the model will meet. Groups are few, so their places are not random
numbers but their ranks by the digests of their names, evenly from 0 to 1: with 20 groups a share of 0.2 is 4 of them.

N examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from loopline.core.errors import InputError
from loopline.core.store import digest_bytes
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


def assign_splits(
    given: Sequence[str], digests_N32: NDArray[np.uint8], options: Options, groups: Sequence[str] = ()
) -> NDArray[np.int8]:
    """(N,) indices into `SPLITS`, from the splits that the source gives ('' for none) and the inputs' digests.

    With `groups`, one per example, these take the digests' place. Raises `InputError` for a name that is no split,
    where the source gives splits but no train split, and where it puts a group into two.
    """
    codes = {name: _code(name) for name in set(given)}
    splits_N = np.fromiter((codes[name] for name in given), dtype=np.int8, count=len(given))
    brought = set(codes.values()) - {-1}
    if brought and _TRAIN not in brought and -1 not in codes.values():
        names = ", ".join(SPLITS[code] for code in sorted(brought))
        raise InputError(f"the source has the splits {names} only; expected train among them.")
    # Rows without a split are train like the given ones, as far as carving goes.
    splits_N[splits_N == -1] = _TRAIN
    in_train_N = splits_N == _TRAIN
    place_N = _group_places(groups, in_train_N) if groups else _places(digests_N32)
    test_end = 0.0 if _TEST in brought else options.test_share
    # Validation keeps its interval whether or not test is brought, so that the one does not move the other.
    start, end = options.test_share, options.test_share + options.validation_share
    if _VALIDATION not in brought:
        splits_N[in_train_N & (place_N >= start) & (place_N < end)] = _VALIDATION
    splits_N[in_train_N & (place_N < test_end)] = _TEST
    _check_groups(groups, splits_N)
    return splits_N


def _group_places(groups: Sequence[str], in_train_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N,): the rank of each example's group among those of train, as a share; the others' places do not matter."""
    ranked = sorted(set(compress(groups, in_train_N)), key=lambda name: digest_bytes(name.encode()))
    places = {name: (rank + 0.5) / len(ranked) for rank, name in enumerate(ranked)}
    return np.array([places.get(name, 1.0) for name in groups])


def _check_groups(groups: Sequence[str], splits_N: NDArray[np.int8]) -> None:
    first: dict[str, int] = {}
    for name, code in zip(groups, splits_N.tolist(), strict=bool(groups)):
        if first.setdefault(name, code) != code:
            raise InputError(
                f"group '{name}' stands in the splits {SPLITS[first[name]]} and {SPLITS[code]} of the source; expected "
                "all of a group in one."
            )


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
