"""The environment of a container: what its image declares and what the platform adds, and nothing of this machine."""

from __future__ import annotations

from loopline.contract.isolation import Subject
from loopline.core.records import Contract

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment_of(contract: Contract, subject: Subject, *, port: int | None = None) -> dict[str, str]:
    """Every variable that the command sees; the platform's win over the image's."""
    variables = {"PATH": _PATH, "HOME": "/tmp", **subject.environment, **contract.environment}  # noqa: S108 - inside
    if contract.port is not None and contract.port.variable is not None:
        variables[contract.port.variable] = str(port or contract.port.number)
    if contract.routes is not None:
        named = {
            contract.routes.health_variable: contract.routes.health,
            contract.routes.predict_variable: contract.routes.predict,
        }
        variables |= {name: path for name, path in named.items() if name is not None}
    return variables
