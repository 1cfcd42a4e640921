"""Each item of the checklist judges its own two examples, and the table of items is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loopline.audit import ITEMS, ItemRule
from loopline.repository import read_texts

CHECKABLE = [item for item in ITEMS if item.is_checkable]
CORPUS = Path(__file__).parents[4] / "shared" / "audit" / "corpus.json"


@pytest.mark.parametrize("item", CHECKABLE, ids=lambda item: item.id)
def test_an_item_judges_its_own_examples(item: ItemRule) -> None:
    """The good example is done, with evidence; the bad one is not."""
    good = item.check(read_texts(item.good, history=item.good_history))
    bad = item.check(read_texts(item.bad, history=item.bad_history))
    assert good.verdict == "done", good
    assert good.evidence
    assert bad.verdict != "done", bad


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_an_item_says_what_it_is(item: ItemRule) -> None:
    """Sentences for the page of rules; nothing of an empty repository is done."""
    assert all(getattr(item, name).endswith((".", ")")) for name in ("asks", "looks_for", "why", "fix")), item
    judgement = item.check(read_texts({}))
    assert judgement.verdict in ("not found", "cannot be seen") or item.id == "secrets_clean", judgement
    if not item.is_checkable:
        assert item.check(read_texts(item.bad)).verdict == "cannot be seen"


def test_ids_are_unique_and_cover_every_template() -> None:
    """Every item that a report of any year has is judged, by its stable id."""
    ids = [item.id for item in ITEMS]
    assert len(ids) == len(set(ids))
    if not CORPUS.exists():
        pytest.skip("the labels are not here")
    templates = json.loads(CORPUS.read_text(encoding="utf-8"))["templates"]
    asked = {item["id"] for template in templates.values() for item in template["checklist"]}
    assert asked <= set(ids)


def test_a_line_of_a_template_is_one_item() -> None:
    """The wording of each year finds its own item and no other."""
    if not CORPUS.exists():
        pytest.skip("the labels are not here")
    from loopline.audit.agreement import match_ticks
    from loopline.repository import read_ticks

    templates = json.loads(CORPUS.read_text(encoding="utf-8"))["templates"]
    for template in templates.values():
        for item in template["checklist"]:
            assert list(match_ticks(read_ticks(f"* [x] {item['text']}\n"), ITEMS)) == [item["id"]]
