"""`loopline-audit.yaml`: findings that a project accepts, each with its reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from pydantic import Field

from loopline.core.errors import ConfigError, UnknownName
from loopline.core.records import Record
from loopline.core.records.audit import Audit, Finding
from loopline.core.validation import validated
from loopline.repository import Repository
from loopline.repository.configs import ConfigProblem, parse_config

EXCEPTIONS_FILE = "loopline-audit.yaml"


class AcceptedFinding(Record):
    """A rule's findings in the files that `path` matches (`*` also over folders), and why they are accepted."""

    rule: str = Field(min_length=1)
    path: str = "*"
    reason: str = Field(min_length=10)

    def covers(self, finding: Finding) -> bool:
        """Whether it is about the finding."""
        return finding.rule == self.rule and fnmatchcase(finding.evidence.path or "", self.path)


class AuditSettings(Record):
    """What `loopline-audit.yaml` holds."""

    exceptions: tuple[AcceptedFinding, ...] = ()


def read_settings(repository: Repository, known_rules: Collection[str]) -> AuditSettings:
    """The settings in the repository's root; empty where it has none.

    Raises `ConfigError` where the file cannot be parsed or holds something unknown, `UnknownName` for another rule.
    """
    text = repository.text(EXCEPTIONS_FILE)
    if text is None:
        return AuditSettings()
    try:
        config = parse_config(EXCEPTIONS_FILE, text)
    except ConfigProblem as error:
        raise ConfigError(f"'{EXCEPTIONS_FILE}' cannot be read: {error}.") from None
    value = None if config is None else config.value
    if not isinstance(value, dict):
        raise ConfigError(f"'{EXCEPTIONS_FILE}' holds no mapping; expected a list under 'exceptions'.")
    settings = validated(AuditSettings, value, where=EXCEPTIONS_FILE)
    for accepted in settings.exceptions:
        if accepted.rule not in known_rules:
            raise UnknownName("rule", accepted.rule, known_rules)
    return settings


def accept(audit: Audit, exceptions: Sequence[AcceptedFinding]) -> Audit:
    """The audit with the reason at every finding that an exception covers; of several the first."""
    findings = tuple(
        finding.model_copy(update={"accepted": accepted.reason})
        if (accepted := next((one for one in exceptions if one.covers(finding)), None))
        else finding
        for finding in audit.findings
    )
    return audit.model_copy(update={"findings": findings})


def unused(audit: Audit, exceptions: Sequence[AcceptedFinding]) -> list[AcceptedFinding]:
    """The exceptions that cover no finding, and can go."""
    return [one for one in exceptions if not any(one.covers(finding) for finding in audit.findings)]
