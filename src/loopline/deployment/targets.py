"""The table of targets, and what each can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from loopline.core.records import Deployment, Step
from loopline.core.tables import resolve
from loopline.deployment.order import Order, Outcome, Prove, Tools

TARGETS: Mapping[str, str] = {
    "cloudrun": "loopline.deployment.cloudrun:CloudRun",
    "vertex-endpoint": "loopline.deployment.vertex_endpoint:VertexEndpoint",
    "kubernetes": "loopline.deployment.kubernetes:Kubernetes",
    "compose": "loopline.deployment.compose:Compose",
}


class Target(Protocol):
    """Somewhere that a model can serve."""

    def files(self, order: Order) -> Mapping[str, str]:
        """What is written before anything is sent: a path in the deployment's folder to its text."""

    def steps(self, order: Order) -> list[Step]:
        """What `deploy` will do, in order."""

    def deploy(self, order: Order, folder: str, tools: Tools, prove: Prove) -> Outcome:
        """Rolls out; what served before keeps serving until the new one is proved. The same again changes nothing.

        `folder` holds the files. Raises `StateError` where the roll-out fails and `SkewError` where the new one does
        not reproduce the bundle; what served before serves then as if nothing had been tried.
        """

    def status(self, deployment: Deployment, tools: Tools) -> dict[str, str]:
        """What the target says of it now, as rows."""

    def logs(self, deployment: Deployment, tools: Tools) -> Iterator[str]:
        """The last lines that it wrote, oldest first."""

    def rollback(self, deployment: Deployment, tools: Tools) -> Outcome:
        """Gives all traffic back to what served before; raises `StateError` where nothing did."""

    def destroy(self, deployment: Deployment, tools: Tools) -> None:
        """Removes everything that was made; nothing to remove is no error."""


def open_target(name: str) -> Target:
    """The target of a name; raises `UnknownName`."""
    target: Target = resolve(TARGETS, name, kind="target")()
    return target
