"""Validation errors as sentences."""

from __future__ import annotations

import pytest
from pydantic import field_validator

from loopline.core.errors import ConfigError, UnknownName
from loopline.core.records import Record
from loopline.core.validation import validated


class Wheel(Record):
    """A part inside another."""

    radius_mm: int
    material: str = "rubber"

    @field_validator("material")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "rubber":
            raise UnknownName("material", value, ["rubber"])
        return value


class Cart(Record):
    """A model with a part."""

    wheel: Wheel
    spare: Wheel | None = None
    num_wheels: int = 4


def problem(value: dict[str, object], where: str = "") -> str:
    """The sentence that a cart is refused with."""
    with pytest.raises(ConfigError) as caught:
        validated(Cart, value, where=where)
    return caught.value.message


def test_what_is_right_becomes_the_model() -> None:
    """A value that fits is the model."""
    assert validated(Cart, {"wheel": {"radius_mm": 200}}).wheel.radius_mm == 200


def test_an_unknown_key_is_guessed_where_it_stands() -> None:
    """A mistyped key is named with its place, the keys known there and the likely meaning."""
    expected = "unknown key 'wheel.radius'; known here: material, radius_mm. Did you mean 'wheel.radius_mm'?"
    assert problem({"wheel": {"radius": 1, "radius_mm": 2}}).startswith(expected)


def test_an_unknown_key_in_an_optional_part_is_guessed_too() -> None:
    """A part that may be left out is looked into as well."""
    message = problem({"wheel": {"radius_mm": 2}, "spare": {"radius_mm": 2, "materiel": 1}})
    assert "unknown key 'spare.materiel'; known here: material, radius_mm. Did you mean 'spare.material'?" in message


def test_nothing_is_guessed_where_nothing_is_alike() -> None:
    """A key that resembles none is only refused."""
    assert problem({"wheel": {"radius_mm": 1}, "xyz": 1}) == (
        "unknown key 'xyz'; known here: num_wheels, spare, wheel."
    )


def test_the_place_of_the_whole_is_told() -> None:
    """`where` says in which part of a larger configuration the value stands; every problem is told at once."""
    message = problem({"wheel": {}, "num_wheels": "four"}, where="cart")
    assert message.startswith("key 'cart.wheel.radius_mm' is missing. cart.num_wheels: 'four' given; input should be")


def test_an_error_of_ours_keeps_its_sentence() -> None:
    """A validator's own error, with its known names, is what the user sees."""
    with pytest.raises(UnknownName, match=r"material 'iron' does not exist; known: rubber\."):
        validated(Cart, {"wheel": {"radius_mm": 1, "material": "iron"}})
