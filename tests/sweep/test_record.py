"""What the record of a sweep refuses about its own parts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from loopline.core.records import Sweep

GOLDEN = Path(__file__).parent.parent / "frozen" / "records" / "sweep.v1.json"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"number": 5}, "the trials' numbers are not 0, 1, 2"),
        ({"params": {"model.widht": "2"}}, "trial 0 has parameters that the space has not"),
        ({"ended_at": None}, "a trial has an end exactly when it no longer runs"),
        ({"error": "out of memory"}, "a trial has an error exactly when it failed"),
        ({"value": None}, "a completed trial has a value"),
        ({"value": 2.0}, "a trial's value is that of one of its epochs"),
    ],
)
def test_a_trial_whose_parts_disagree_does_not_exist(change: dict[str, Any], problem: str) -> None:
    """Numbers, parameters, ends, errors and values agree with each other and with the sweep."""
    value = json.loads(GOLDEN.read_text(encoding="utf-8"))
    value["trials"][0] |= change
    with pytest.raises(ValidationError, match=re.escape(problem)):
        Sweep.model_validate(value)


def test_importance_is_of_keys_of_the_space() -> None:
    """A share of a key that was not searched is refused; a running trial has no duration."""
    value = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert [trial.duration_s is None for trial in Sweep.model_validate(value).trials] == [False, False, True]
    with pytest.raises(ValidationError, match="importance of keys that the space has not"):
        Sweep.model_validate({**value, "importance": {"seed": 1.0}})
