"""Every rule for findings is proved on its own two examples, and the table of rules is whole."""

from __future__ import annotations

import pytest

from loopline.audit.findings import FINDINGS
from loopline.audit.rule import FindingRule
from loopline.repository import read_texts


@pytest.mark.parametrize("rule", FINDINGS, ids=lambda rule: rule.id)
def test_a_rule_finds_something_in_its_bad_example_alone(rule: FindingRule) -> None:
    """The bad example has a finding with a place in one of its files; the good one has none."""
    bad = list(rule.check(read_texts(rule.bad, past=rule.bad_past)))
    assert bad
    assert all(evidence.path in rule.bad for evidence in bad), "a finding has no place"
    assert list(rule.check(read_texts(rule.good))) == []


def test_rules_have_ids_of_their_own() -> None:
    """An id stands for one rule, and is written as one word."""
    ids = [rule.id for rule in FINDINGS]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in ids)
