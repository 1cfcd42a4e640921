"""What a preflight is given: everything that this machine knows before it asks anybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from loopline.core.records import CloudSettings, ContractRun, CostEstimate, PreflightCheck
from loopline.google import Google


@dataclass(frozen=True)
class ImageFacts:
    """The image that would be sent: what it is built for, where its server listens (None: as PORT says), its size."""

    platform: str
    port: int | None = None
    num_bytes: int | None = None


@dataclass(frozen=True)
class Facts:
    """What is known here: settings, the image, how the contract run went, what the context guard found, the cost."""

    settings: CloudSettings
    image: ImageFacts | None = None
    contract: ContractRun | None = None
    cost: CostEstimate | None = None
    # What another room found out already, as the guard over the build's context did.
    findings: tuple[PreflightCheck, ...] = ()


@dataclass
class Scene:
    """Facts and the cloud that is asked; answers that several checks need are asked for once."""

    target: str
    facts: Facts
    google: Google
    _project: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> CloudSettings:
        return self.facts.settings

    @property
    def project(self) -> str:
        return self.settings.project or ""

    @cached_property
    def project_record(self) -> dict[str, Any]:
        """The project as Resource Manager describes it; raises `ApiRefused`."""
        return self.google.call("cloudresourcemanager.v3", "projects.get", {"name": f"projects/{self.project}"})

    @property
    def project_number(self) -> str:
        """Service agents and secrets are named by it."""
        return str(self.project_record["name"]).rpartition("/")[2]
