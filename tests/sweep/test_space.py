"""The grammar of a space: every spelling means what it says, and what means nothing is refused in a sentence."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopline.core.errors import ConfigError
from loopline.core.records import Choice, Dimension, FloatRange, IntRange
from loopline.sweep.sampling import distribution
from loopline.sweep.space import describe, grid, grid_size, points_to_check, split_overrides, text_of


def dimension(text: str) -> Dimension:
    """What `key=text` means."""
    return split_overrides((), (f"key={text}",))[1]["key"]


@pytest.mark.parametrize(
    ("ours", "hydras", "meaning"),
    [
        ("16,32,64", "choice(16,32,64)", Choice(values=("16", "32", "64"))),
        ("cnn,resnet", "choice(cnn,resnet)", Choice(values=("cnn", "resnet"))),
        ("[1,2],[3]", "choice([1,2],[3])", Choice(values=("[1,2]", "[3]"))),
        ("1e-4..1e-1:log", "tag(log,interval(1e-4,1e-1))", FloatRange(low=1e-4, high=0.1, log=True)),
        ("0.0..0.5", "interval(0,0.5)", FloatRange(low=0, high=0.5)),
        ("1..4", "int(interval(1,4))", IntRange(low=1, high=4)),
        ("1..64:log", "tag(log,int(interval(1,64)))", IntRange(low=1, high=64, log=True)),
        # Hydra's ranges end before their stop, ours at their end.
        ("16..128:step=16", "range(16,129,16)", IntRange(low=16, high=128, step=16)),
        ("1..10:step=4", "range(1,10,4)", IntRange(low=1, high=9, step=4)),
        ("0.1..0.35:step=0.1", "range(0.1,0.35,0.1)", FloatRange(low=0.1, high=0.3, step=0.1)),
    ],
)
def test_our_spelling_and_hydras_mean_the_same(ours: str, hydras: str, meaning: Dimension) -> None:
    """Each kind of dimension, in both."""
    assert dimension(ours) == dimension(hydras) == meaning


def test_overrides_are_what_does_not_differ() -> None:
    """A plain override stays one, wherever it stands; the space comes in one order."""
    fixed, space = split_overrides(
        ("recipe=fashion", "model.width=16,32", "data.augment.flip=true"), ("optimizer.lr=1e-4..1e-1:log",)
    )
    assert fixed == ("recipe=fashion", "data.augment.flip=true")
    assert list(space) == ["model.width", "optimizer.lr"]


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("a=0.1..0.001", "space 'a=0.1..0.001' given; expected a low end below the high one, not 0.1 and 0.001."),
        ("a=5..5", "space 'a=5..5' given; expected a low end below the high one, not 5 and 5."),
        ("a=0..1:log", "space 'a=0..1:log' given; expected a low end above 0 on a logarithmic scale, not 0."),
        ("a=1..9:log:step=2", "space 'a=1..9:log:step=2' given; expected `log` or `step`, not both."),
        ("a=1..2:step=5", "space 'a=1..2:step=5' given; expected a step of at most 1, the width of the range, not 5."),
        ("a=1..9:step=0", "space 'a=1..9:step=0' given; input should be greater than or equal to 1."),
        ("a=1..9:lag", "space 'a=1..9:lag': option 'lag' given; expected log or step=NUMBER."),
        ("a=choice(1)", "space 'a=choice(1)' given; expected at least two different values."),
        ("a=1,2,1", "space 'a=1,2,1' given; expected every value once."),
        ("a=3", "space 'a=3' given; expected a space, as in optimizer.lr=1e-4..1e-1:log, "),
        ("a=1,", "space 'a=1,' given; expected a space"),
        ("a=range(0,4,0)", "space 'a=range(0,4,0)': step 0 given; expected one above 0."),
        ("a=shuffle(range(1,5))", "space 'a=shuffle(range(1,5))': shuffle(…) given; the sampler chooses the order."),
        ("model=glob(*)", "space 'model=glob(*)' given; expected the names themselves, as in model=cnn,resnet."),
        (
            "a=tag(lag,interval(1,2))",
            "space 'a=tag(lag,interval(1,2))': tag lag given; expected only log, of an interval.",
        ),
        ("a=tag(log,choice(1,2))", "space 'a=tag(log,choice(1,2))': tag log given; expected only log, of an interval."),
    ],
)
def test_what_is_no_space_is_refused(assignment: str, sentence: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        split_overrides((), (assignment,))


def test_a_key_is_given_once() -> None:
    """Twice in the space, or fixed and in the space, is refused."""
    with pytest.raises(ConfigError, match="key 'a' is in the space twice; expected it once"):
        split_overrides(("a=1,2",), ("a=3,4",))
    with pytest.raises(ConfigError, match="key 'a' is in the space and has a fixed value; expected one of both"):
        split_overrides(("a=1",), ("a=3,4",))


def test_the_grid_lists_every_point_once() -> None:
    """The product of all values, the last key changing fastest; steps of a tenth have no binary dust."""
    _, space = split_overrides(("b=x,y", "a=1..2", "c=0.1..0.3:step=0.1"))
    points = list(grid(space))
    assert len(points) == grid_size(space) == 12
    assert points[:4] == [
        {"a": 1, "b": "x", "c": 0.1},
        {"a": 1, "b": "x", "c": 0.2},
        {"a": 1, "b": "x", "c": 0.3},
        {"a": 1, "b": "y", "c": 0.1},
    ]
    with pytest.raises(ConfigError, match=re.escape("key 'lr': 0.001 to 0.1, logarithmic, in a grid; expected values")):
        list(grid(split_overrides(("lr=1e-3..1e-1:log",))[1]))


def test_points_to_check_show_every_choice_and_end() -> None:
    """One key changes at a time, so that few points show all values."""
    _, space = split_overrides(("a=1..8", "b=x,y,z"))
    points = list(points_to_check(space))
    assert points == [
        {"a": "1", "b": "x"},
        {"a": "8", "b": "x"},
        {"a": "1", "b": "y"},
        {"a": "1", "b": "z"},
    ]


def test_describe_says_a_dimension_in_words() -> None:
    """As `--dry-run` and the page show it."""
    assert [describe(dimension(text)) for text in ("a,b", "1..4", "0.1..0.5:step=0.1", "1e-4..0.1:log")] == [
        "a, b",
        "whole numbers 1 to 4",
        "0.1 to 0.5, in steps of 0.1",
        "0.0001 to 0.1, logarithmic",
    ]


_FLOATS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)


@given(low=_FLOATS, high=_FLOATS, log=st.booleans())
def test_any_two_numbers_are_a_range_or_refused(low: float, high: float, log: bool) -> None:
    """Whatever floats stand at the ends: they come back to the bit, or the sentence says why not."""
    assignment = f"key={low!r}..{high!r}{':log' if log else ''}"
    if low < high and not (log and low <= 0):
        assert split_overrides((assignment,))[1] == {"key": FloatRange(low=low, high=high, log=log)}
    else:
        with pytest.raises(ConfigError, match="expected a low end"):
            split_overrides((assignment,))


@given(low=st.integers(-1000, 1000), width=st.integers(1, 1000), step=st.integers(1, 1000))
def test_a_range_of_whole_numbers_is_pythons(low: int, width: int, step: int) -> None:
    """The grid of `low..high:step=n` is Python's range with its end; Hydra's `range` is Python's own."""
    high = low + width
    if step > width:
        with pytest.raises(ConfigError, match="expected a step of at most"):
            dimension(f"{low}..{high}:step={step}")
        return
    expected = list(range(low, high + 1, step))
    for text in (f"{low}..{high}:step={step}", f"range({low},{high + 1},{step})"):
        assert [point["key"] for point in grid({"key": dimension(text)})] == expected


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_sampled_number_keeps_every_digit(value: float) -> None:
    """The text of a value is that value again, so that a printed command repeats the trial."""
    assert float(text_of(value)) == value


@given(values=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), min_size=2, max_size=6, unique=True))
def test_words_are_a_choice(values: list[str]) -> None:
    """Any different words with commas between them, but for those that Hydra reads as values of other types."""
    found = dimension(",".join(values))
    assert isinstance(found, Choice)
    assert [value.lower() for value in found.values] == values


def test_a_dimension_is_optunas() -> None:
    """Kinds, ends, scale and step arrive in Optuna."""
    shown = {text: distribution(dimension(text)) for text in ("1..9:step=2", "1e-4..0.1:log", "a,b")}
    assert str(shown["1..9:step=2"]) == "IntDistribution(high=9, log=False, low=1, step=2)"
    assert str(shown["1e-4..0.1:log"]) == "FloatDistribution(high=0.1, log=True, low=0.0001, step=None)"
    assert str(shown["a,b"]) == "CategoricalDistribution(choices=('a', 'b'))"
