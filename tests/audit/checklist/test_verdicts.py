"""Close cases, each of which some repository has: what counts, what is half, what is nothing."""

from __future__ import annotations

import pytest
from tests.audit.checklist.cases_of_code import CODE
from tests.audit.checklist.cases_of_operation import OPERATION

from loopline.audit import ITEMS
from loopline.core.records.audit import Verdict
from loopline.repository import History, read_texts

RULES = {item.id: item for item in ITEMS}


@pytest.mark.parametrize(("item", "verdict", "texts"), [*CODE, *OPERATION])
def test_close_cases(item: str, verdict: Verdict, texts: dict[str, str]) -> None:
    """As a reader of the code would decide."""
    judgement = RULES[item].check(read_texts(texts))
    assert judgement.verdict == verdict, judgement
    if verdict == "partial":
        assert judgement.evidence


def test_a_branch_of_pages_is_a_publication() -> None:
    """History tells what no file does."""
    assert RULES["docs_published"].check(read_texts({}, history=History(branches=("gh-pages",)))).verdict == "done"
    assert RULES["write_access"].check(read_texts({}, history=History(num_authors=2))).evidence
