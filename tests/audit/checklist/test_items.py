"""Each item of the checklist judges its own two examples, and the table of items is whole."""

from __future__ import annotations

import pytest

from loopline.audit.checklist import ITEMS
from loopline.audit.rule import ItemRule
from loopline.repository import read_texts

CHECKABLE = [item for item in ITEMS if item.is_checkable]


@pytest.mark.parametrize("item", CHECKABLE, ids=lambda item: item.id)
def test_an_item_judges_its_own_examples(item: ItemRule) -> None:
    """The good example is done, with evidence; the bad one is not."""
    good = item.check(read_texts(item.good, history=item.good_history))
    bad = item.check(read_texts(item.bad, history=item.bad_history))
    assert good.verdict == "done", good
    assert good.evidence
    assert bad.verdict != "done", bad
