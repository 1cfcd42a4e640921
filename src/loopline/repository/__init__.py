"""Layer 2: a project's files as evidence: read without running anything, parsed when asked for.

`open_repository` gives a `Repository`; its views (`python`, `configs`, `workflows`, …) are what rules look at.
"""

from __future__ import annotations

from loopline.repository.commands import Command, expanded, parts
from loopline.repository.configs import Config, at
from loopline.repository.dependencies import Dependency
from loopline.repository.dockerfiles import Dockerfile, Instruction
from loopline.repository.history import History, PastFile
from loopline.repository.makefile import Target
from loopline.repository.python import PythonModule
from loopline.repository.repository import Repository, open_repository, read_texts
from loopline.repository.roles import is_deprecated, is_generated, is_own, is_test, is_vendored
from loopline.repository.sources import File
from loopline.repository.syntax import DYNAMIC, UNKNOWN, Call, Class, Function, Import, is_inside
from loopline.repository.ticks import Tick, is_tick, plain_text, read_ticks
from loopline.repository.workflows import Job, Step, Workflow

__all__ = [
    "DYNAMIC",
    "UNKNOWN",
    "Call",
    "Class",
    "Command",
    "Config",
    "Dependency",
    "Dockerfile",
    "File",
    "Function",
    "History",
    "Import",
    "Instruction",
    "Job",
    "PastFile",
    "PythonModule",
    "Repository",
    "Step",
    "Target",
    "Tick",
    "Workflow",
    "at",
    "expanded",
    "is_deprecated",
    "is_generated",
    "is_inside",
    "is_own",
    "is_test",
    "is_tick",
    "is_vendored",
    "open_repository",
    "parts",
    "plain_text",
    "read_texts",
    "read_ticks",
]
