"""Rules about code that comes with data: files that run something when they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from loopline.audit.rule import FindingRule
from loopline.audit.traces import calls, code
from loopline.core.records.audit import Evidence
from loopline.repository import DYNAMIC, Repository

CATEGORY = "Safety"
# From 2.6 on `torch.load` reads weights only, unless it is told otherwise.
_OLD_TORCH = tuple(
    f"{major}.{minor}.{patch}"
    for major, minors in ((1, range(4, 14)), (2, range(6)))
    for minor in minors
    for patch in range(3)
)


# PyYAML's loaders that make numbers, texts and lists only; `FullLoader` runs nothing since 5.4.
_MAKES_NO_OBJECTS = re.compile(r"(Safe|Base|Full)Loader$")


def _check_torch_load(repository: Repository) -> Iterator[Evidence]:
    """`weights_only=False`, or nothing said where the project allows a torch that then unpickles."""
    unsafe_by_default = _allows_old_torch(repository)
    for module, call in calls(code(repository), "torch.load"):
        given = call.argument("weights_only")
        if given is False:
            yield module.evidence(call.line, "`torch.load` is told to run whatever the file holds.")
        elif given is None and unsafe_by_default:
            yield module.evidence(call.line, "`torch.load` runs whatever the file holds in a torch before 2.6.")


def _allows_old_torch(repository: Repository) -> bool:
    declared = repository.locked.get("torch") or repository.dependencies.get("torch") or ()
    for dependency in declared:
        try:
            # `+cu121` names a build of the same version.
            text = re.sub(r"\+[\w.]+", "", dependency.specifier).replace("^", ">=")
            allowed = SpecifierSet("" if text == "@" else text)
        except InvalidSpecifier:
            continue
        if dependency.specifier and any(version in allowed for version in _OLD_TORCH):
            return True
    return False


def _check_eval(repository: Repository) -> Iterator[Evidence]:
    for module, call in calls(code(repository), "eval", "exec", "yaml.unsafe_load", "yaml.load"):
        argument = call.arguments[0] if call.arguments else None
        if call.name in ("eval", "exec") and argument is not DYNAMIC:
            continue
        loaders = [*call.node.args[1:2], *(word.value for word in call.node.keywords if word.arg == "Loader")]
        if call.name == "yaml.load" and any(_MAKES_NO_OBJECTS.search(module.resolve(loader)) for loader in loaders):
            continue
        yield module.evidence(call.line, f"`{call.name}` runs what it is given.")


RULES: tuple[FindingRule, ...] = (
    FindingRule(
        id="unsafe-torch-load",
        category=CATEGORY,
        title="A checkpoint may run code",
        looks_for="`torch.load` with `weights_only=False`, or without it where a torch before 2.6 is allowed.",
        why="A pickle is a program: whoever can change the file, or the bucket it comes from, runs code here.",
        fix="Save a `state_dict` and pass `weights_only=True`.",
        severity="warning",
        good={"a.py": 'import torch\n\nweights = torch.load("a.pt", weights_only=True)\n'},
        bad={"a.py": 'import torch\n\nmodel = torch.load("a.pt", weights_only=False)\n'},
        check=_check_torch_load,
    ),
    FindingRule(
        id="eval-on-configuration",
        category=CATEGORY,
        title="Configuration is run as code",
        looks_for="`eval` and `exec` of anything but a constant, and YAML loaded with a loader that makes objects.",
        why="A value in a file or a request then does what its author wants.",
        fix="Look names up in a table; read literals with `ast.literal_eval`, YAML with `yaml.safe_load`.",
        severity="error",
        good={"a.py": "import ast\n\n\ndef size(config):\n    return ast.literal_eval(config.size)\n"},
        bad={"a.py": "def size(config):\n    return eval(config.size)\n"},
        check=_check_eval,
    ),
)
