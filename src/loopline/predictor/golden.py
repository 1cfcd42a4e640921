"""Golden sentences: what the reference inputs of a translation bundle were translated to when it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, ValidationError

from loopline.core.errors import IntegrityError, SkewError
from loopline.core.records import Record

GOLDEN_FILE = "golden.json"


class GoldenTexts(Record):
    """The translations of the reference inputs by one graph, with the mean log probability of a token of each."""

    texts: tuple[str, ...] = Field(min_length=1)
    scores: tuple[float, ...] = Field(min_length=1)


class Golden(Record):
    """`golden.json`: translations by the role of the graph that made them.

    Two processors round differently, and two hypotheses can be nearly as good: a share of the texts may change, and
    where a text did not, its score lies within `tolerance` of what it was.
    """

    schema_version: Literal[1] = 1
    max_changed_share: float = Field(default=0.1, ge=0, lt=1)
    tolerance: float = Field(default=0.01, gt=0)
    translations: dict[str, GoldenTexts] = Field(min_length=1)


def read_golden(data: bytes, *, origin: str) -> Golden:
    """The record in the bytes of a file; raises `IntegrityError` naming `origin` where it is none."""
    try:
        return Golden.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"'{origin}' is no valid Golden: {error.errors()[0]['msg']}.") from None


def check_golden(golden: Golden, role: str, texts: Sequence[str], scores: Sequence[float]) -> None:
    """Raises `SkewError` where translations of the reference inputs are not what the bundle says they were."""
    expected = golden.translations[role]
    triples = list(zip(texts, expected.texts, zip(scores, expected.scores, strict=True), strict=True))
    num_changed = sum(text != wanted for text, wanted, _ in triples)
    worst = max((abs(score - wanted) for text, same, (score, wanted) in triples if text == same), default=0.0)
    if num_changed > golden.max_changed_share * len(triples) or not worst <= golden.tolerance:
        raise SkewError(
            f"{num_changed} of {len(triples)} golden sentences are translated differently by graph '{role}' (allowed: "
            f"{golden.max_changed_share:.0%}), scores of the others differ by {worst:.3g} (allowed: "
            f"{golden.tolerance:g})."
        )
