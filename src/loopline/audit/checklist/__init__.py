"""The checklist: every item that reports of any year tick, each with the rule that decides it from the files."""

from __future__ import annotations

from loopline.audit.checklist import (
    cloud,
    configuration,
    containers,
    data,
    documentation,
    environment,
    experiments,
    integration,
    monitoring,
    project,
    quality,
    scaling,
    serving,
    testing,
)
from loopline.audit.rule import ItemRule

ITEMS: tuple[ItemRule, ...] = (
    *project.RULES,
    *environment.RULES,
    *data.RULES,
    *quality.RULES,
    *containers.RULES,
    *configuration.RULES,
    *experiments.RULES,
    *testing.RULES,
    *integration.RULES,
    *cloud.RULES,
    *serving.RULES,
    *monitoring.RULES,
    *scaling.RULES,
    *documentation.RULES,
)
