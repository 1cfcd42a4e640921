"""Each form of an audit: it says what the record says, and text from the repository stays text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest

from loopline.audit.findings import FINDINGS
from loopline.audit.output import (
    audit_markdown,
    audit_page,
    audit_sarif,
    audit_sentence,
    badge_svg,
    finding_rows,
    item_rows,
    open_findings,
    themes,
)
from loopline.core.records.audit import Audit, Evidence, Finding, Item

SECRET_RULE = "wandb-key"  # noqa: S105 - the id of a rule
AUDIT = Audit(
    subject="shop",
    commit="a" * 40,
    num_files=3,
    items=(
        Item(
            item="git_repo",
            theme="Project",
            asks="A git repository",
            verdict="done",
            evidence=(Evidence(path=".git", sentence="There is one."), Evidence(sentence="It has 7 commits.")),
            ticked=False,
            agreement="under-claimed",
        ),
        Item(item="hydra", theme="Training", asks="Hydra", verdict="not found", ticked=True, agreement="over-claimed"),
        Item(
            item="dvc",
            theme="Training",
            asks="Data versions",
            verdict="partial",
            evidence=(Evidence(path="a|<b>.dvc", line=2, sentence="No remote | <script>."),),
        ),
    ),
    findings=(
        Finding(
            rule="made-up", severity="note", evidence=Evidence(path="a b.py", line=3, sentence="Odd."), fix="Mend."
        ),
        Finding(rule=SECRET_RULE, severity="error", evidence=Evidence(path="x", sentence="Key."), fix="Revoke."),
        Finding(
            rule=SECRET_RULE,
            severity="error",
            evidence=Evidence(path="old", line=9, sentence="Key.", commit="b" * 40),
            fix="Revoke.",
            accepted="It was revoked in May.",
        ),
    ),
    unreadable=(Evidence(path="big.bin", sentence="Left out: too large."),),
    created_at=datetime(2026, 11, 21, tzinfo=UTC),
)


def test_the_sentence_counts() -> None:
    """Score, verdicts, open findings by severity, and claims."""
    assert audit_sentence(AUDIT) == (
        "50% of what files can show is done (1 done, 1 partial, 1 not found, 0 cannot be seen). "
        "Findings: 1 error, 1 note, 1 accepted. 1 ticked item cannot be confirmed. "
        "1 open item is done, at least in part."
    )


def test_rows_name_place_and_claim() -> None:
    """An item shows its first evidence and how many more; findings come by severity."""
    assert list(themes(AUDIT)) == ["Project", "Training"]
    rows = [row for items in themes(AUDIT).values() for row in item_rows(items)]
    assert rows[0] == ("✓", "A git repository", "done", ".git: There is one. (and 1 more)", "open: under-claimed")
    assert rows[1] == ("✗", "Hydra", "not found", "", "ticked: over-claimed")
    findings = [row[:3] for row in finding_rows(open_findings(AUDIT))]
    assert findings == [("error", SECRET_RULE, "x"), ("note", "made-up", "a b.py:3")]
    assert [finding.rule for finding in open_findings(AUDIT, at_least="warning")] == [SECRET_RULE]


def test_markdown_keeps_text_text() -> None:
    """A pipe or a tag in a path breaks no table and makes no markup."""
    text = audit_markdown(AUDIT)
    assert "a\\|&lt;b>.dvc:2: No remote \\| &lt;script>." in text
    assert "<script" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}
    assert "* big.bin: Left out: too large." in text


def test_the_page_shows_everything() -> None:
    """Findings, themes, accepted findings with their reason, and what was left out; escaped."""
    page = audit_page(AUDIT)
    for part in ("Findings", "Training", "It was revoked in May.", "big.bin", "a|&lt;b&gt;.dvc:2", "old:9 in bbbbbbbb"):
        assert part in page
    assert "<script" not in page
    assert "Nothing was found." in audit_page(AUDIT.model_copy(update={"findings": ()}))


def test_sarif_is_a_log_as_the_standard_wants_it() -> None:
    """Rules are listed once, results point at them, old lines are no places, accepted findings are suppressed."""
    log = json.loads(json.dumps(audit_sarif(AUDIT, FINDINGS)))
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.id for rule in FINDINGS]
    assert {rule["defaultConfiguration"]["level"] for rule in rules} <= {"none", "note", "warning", "error"}
    odd, key, old = run["results"]
    assert rules[key["ruleIndex"]]["id"] == key["ruleId"] == SECRET_RULE
    assert odd["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b.py", "uriBaseId": "ROOT"},
        "region": {"startLine": 3},
    }
    assert "region" not in old["locations"][0]["physicalLocation"]
    assert old["properties"] == {"commit": "b" * 40}
    assert old["suppressions"] == [{"kind": "external", "justification": "It was revoked in May."}]
    assert key["partialFingerprints"] != odd["partialFingerprints"]


@pytest.mark.parametrize(
    ("verdict", "findings", "text"),
    [("done", (), "100%"), ("not found", (), "0%"), ("partial", AUDIT.findings, "50%, 1 error")],
)
def test_a_badge_says_score_and_errors(verdict: str, findings: tuple[Finding, ...], text: str) -> None:
    """The badge is well-formed SVG, with words for who cannot see colours."""
    item = AUDIT.items[0].model_copy(update={"verdict": verdict})
    root = ET.fromstring(badge_svg(AUDIT.model_copy(update={"items": (item,), "findings": findings})))  # noqa: S314 - ours
    assert root.get("aria-label") == f"audit: {text}"


def test_a_badge_without_items_says_so() -> None:
    """An audit of findings alone has no score."""
    assert "no items" in badge_svg(AUDIT.model_copy(update={"items": (), "findings": ()}))
