"""An audit as SARIF 2.1.0, which code hosts show as annotations.

The standard: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from loopline import __version__
from loopline.audit.rule import FindingRule
from loopline.core.records.audit import Audit, Finding
from loopline.core.store import digest_json

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def audit_sarif(audit: Audit, rules: Sequence[FindingRule]) -> dict[str, Any]:
    """The findings as a SARIF log of one run; those that the project accepts are suppressed with their reason."""
    index = {rule.id: position for position, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "loopline audit",
                "version": __version__,
                "informationUri": "https://github.com/loopline/loopline",
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "originalUriBaseIds": {"ROOT": {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index.get(finding.rule, -1)) for finding in audit.findings],
    }
    if audit.commit is not None:
        run["properties"] = {"commit": audit.commit, "changed": audit.changed}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: FindingRule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": f"{rule.looks_for} {rule.why}"},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"category": rule.category},
    }


def _result(finding: Finding, rule_index: int) -> dict[str, Any]:
    evidence = finding.evidence
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": finding.severity,
        "message": {"text": f"{evidence.sentence} {finding.fix}"},
        # Lines move; a result stays the same one as long as rule, file and sentence do.
        "partialFingerprints": {"loopline/v1": digest_json([finding.rule, evidence.path, evidence.sentence])},
    }
    if evidence.path is not None:
        location: dict[str, Any] = {"artifactLocation": {"uri": quote(evidence.path), "uriBaseId": "ROOT"}}
        # A line of an old commit is no place in today's file.
        if evidence.line is not None and evidence.commit is None:
            location["region"] = {"startLine": evidence.line}
        result["locations"] = [{"physicalLocation": location}]
    if evidence.commit is not None:
        result["properties"] = {"commit": evidence.commit}
    if finding.accepted is not None:
        result["suppressions"] = [{"kind": "external", "justification": finding.accepted}]
    return result
