"""Layer 4: `doctor` looks at the machine and says what is missing, each with the command that mends it.

A check is one function that returns what it found. None imports a heavy library: versions and builds are read from
the packages' own files, so that the whole takes about a second and works with nothing but the base installed.
"""

from __future__ import annotations

from loopline.core.workspace import Workspace
from loopline.doctor.check import Check
from loopline.doctor.machine import check_clock, check_folders, check_open_files, check_ports, check_resources
from loopline.doctor.packages import check_byte_code, check_packages, check_python, check_torch, check_torchvision
from loopline.doctor.project import check_credentials, check_git, check_tracking

__all__ = ["Check", "doctor"]


def doctor(workspace: Workspace | None = None) -> list[Check]:
    """Runs every check and returns what they found, in order; changes nothing but a probe file that it removes again.

    A `problem` stops some stage from working, a `warning` limits one. No value of a credential is read into a check.
    """
    workspace = workspace or Workspace.default()
    return [
        *check_python(),
        *check_byte_code(),
        *check_packages(),
        *check_torch(),
        *check_torchvision(),
        *check_resources(),
        *check_open_files(),
        *check_clock(),
        *check_folders(workspace),
        *check_ports(),
        *check_tracking(workspace),
        *check_git(workspace),
        *check_credentials(),
    ]
