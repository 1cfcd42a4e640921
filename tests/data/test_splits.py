from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from loopline.core.errors import ConfigError, InputError
from loopline.data import Options
from loopline.data.splits import SPLITS, assign_splits

contents = st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=60, unique=True)
shares = st.floats(0, 0.49)


def digests(raws: list[bytes]) -> NDArray[np.uint8]:
    return np.array([list(hashlib.sha256(raw).digest()) for raw in raws], dtype=np.uint8)


def assign(raws: list[bytes], options: Options, given: list[str] | None = None) -> dict[bytes, str]:
    codes = assign_splits(given or [""] * len(raws), digests(raws), options)
    return {raw: SPLITS[code] for raw, code in zip(raws, codes, strict=True)}


@given(contents, st.binary(min_size=9, max_size=12), shares, shares)
def test_adding_an_example_moves_no_other(raws: list[bytes], new: bytes, validation: float, test: float) -> None:
    options = Options(validation_share=validation, test_share=test)
    before, after = assign(raws, options), assign([new, *raws], options)
    assert {raw: after[raw] for raw in raws} == before


@given(contents, st.randoms())
def test_the_order_of_listing_does_not_matter(raws: list[bytes], random: np.random.RandomState) -> None:
    shuffled = list(raws)
    random.shuffle(shuffled)
    assert assign(shuffled, Options()) == assign(raws, Options())


@given(contents)
def test_bringing_a_test_split_moves_nothing_between_train_and_validation(raws: list[bytes]) -> None:
    carved = assign(raws, Options())
    brought = assign([*raws, b"a test picture"], Options(), ["train"] * len(raws) + ["test"])
    for raw in raws:
        assert carved[raw] == "test" or carved[raw] == brought[raw]


def test_equal_contents_land_in_one_split() -> None:
    codes = assign_splits([""] * 300, np.repeat(digests([bytes([n]) for n in range(100)]), 3, axis=0), Options())
    assert (codes.reshape(100, 3) == codes.reshape(100, 3)[:, :1]).all()


def test_shares_are_parts_of_the_whole() -> None:
    names = list(assign([str(n).encode() for n in range(5000)], Options(validation_share=0.2, test_share=0.1)).values())
    assert names.count("validation") == pytest.approx(1000, abs=100)
    assert names.count("test") == pytest.approx(500, abs=75)


def test_given_splits_are_respected_and_the_missing_one_is_carved_out_of_train() -> None:
    raws = [str(n).encode() for n in range(1000)]
    given = ["Training"] * 800 + ["test"] * 200
    found = assign(raws, Options(), given)
    assert {found[raw] for raw in raws[800:]} == {"test"}
    assert {found[raw] for raw in raws[:800]} == {"train", "validation"}


def test_a_full_set_of_given_splits_stays_as_it_is() -> None:
    raws = [str(n).encode() for n in range(300)]
    given = ["train"] * 100 + ["val"] * 100 + ["testing"] * 100
    expected = ["train"] * 100 + ["validation"] * 100 + ["test"] * 100
    assert list(assign(raws, Options(), given).values()) == expected


def test_a_share_of_zero_carves_nothing() -> None:
    found = assign([str(n).encode() for n in range(200)], Options(validation_share=0, test_share=0))
    assert set(found.values()) == {"train"}


def test_an_unknown_split_and_a_missing_train_split_are_refused() -> None:
    with pytest.raises(InputError, match="split 'holdout' given; expected train, validation or test"):
        assign([b"a"], Options(), ["holdout"])
    with pytest.raises(InputError, match="splits validation, test only; expected train among them"):
        assign([b"a", b"b"], Options(), ["test", "val"])


def test_shares_that_leave_no_train_split_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"validation_share 1\.5 given; expected at least 0 and less than 1"):
        Options(validation_share=1.5)
    with pytest.raises(ConfigError, match="leave no train split"):
        Options(validation_share=0.5, test_share=0.5)
