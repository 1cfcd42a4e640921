"""Every command that a project runs somewhere: in workflows, Makefiles, tasks, images, scripts, cloud builds, hooks.

A command of a workflow that calls another (`make lint`, `tox -e py`, `invoke test`, `bash run.sh`) stands for what that
one runs, too.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from loopline.core.records.audit import Evidence
from loopline.repository.configs import Config, at
from loopline.repository.dockerfiles import Dockerfile
from loopline.repository.makefile import Target
from loopline.repository.python import PythonModule
from loopline.repository.workflows import Workflow

Origin = Literal["workflow", "cloud build", "makefile", "task", "dockerfile", "script", "compose", "hook", "code"]


@dataclass(frozen=True)
class Command:
    """One command line: where it stands, and the name under which other commands call it (a target, a task)."""

    path: str
    line: int | None
    text: str
    origin: Origin
    called: str = ""

    def evidence(self, sentence: str) -> Evidence:
        """Evidence in the file that holds the command."""
        return Evidence(path=self.path, line=self.line, sentence=sentence)

    def runs(self, pattern: str) -> bool:
        """Whether a regular expression matches the command from the start of one of its parts on.

        Parts are split at `&&`, `||`, `;` and `|`; runners such as `uv run`, `poetry run` and `python -m` are left out,
        and so is the folder of an environment's programs.
        """
        return any(re.match(rf"(?:{pattern})(?![\w-])", part) for part in parts(self.text))


_RUNNERS = re.compile(
    r"^((sudo|time|exec|nohup|then|do|else|if|!|@|-)\s+|[A-Z_][A-Z0-9_]*=\S*\s+|"
    r"(uv|poetry|pdm|pipenv|hatch|rye|pixi)\s+run\s+((--(with|group|extra|python)\s+\S+|--?[\w-]+(=\S+)?)\s+)*|"
    r"(uvx|pipx\s+run|uv\s+tool\s+run)\s+(--from\s+\S+\s+)?|(conda|mamba|micromamba)\s+run\s+(-\w+\s+\S+\s+)*|"
    r"(\$\{\w+\}|(\S*/)?\.?v?env[\w.-]*/(bin|Scripts))/(?=[\w.-]+(\s|$))|"
    r"(\S*/)?python[\d.]*\s+(-[uBOIP]\s+)*-m\s+|\$\(?\{?PYTHON\w*\}?\)?\s+-m\s+|xvfb-run\s+)",
    re.IGNORECASE,
)


_MAKE_VARIABLE = re.compile(r"\$\(([A-Z_][A-Z0-9_]*)\)")


def parts(text: str) -> list[str]:
    """The simple commands of a command line, without what only starts them."""
    found = []
    # A variable of make looks like a command whose output is taken.
    text = _MAKE_VARIABLE.sub(r"${\1}", text)
    for part in re.split(r"&&|\|\||[;|\n]|\$\(", text):
        command = part.strip().strip("'\"`(){}").strip()
        while match := _RUNNERS.match(command):
            command = command[match.end() :]
        if command and not command.startswith("#"):
            found.append(command)
    return found


def in_workflow(workflow: Workflow) -> Iterator[Command]:
    """The commands of a workflow's live steps, one for each line; continued lines are joined."""
    for step in workflow.steps:
        for offset, line in _logical_lines(step.run):
            is_block = "\n" in step.run
            number = None if step.run_line is None else step.run_line + is_block + offset
            yield Command(workflow.path, number, line, "workflow")


def in_target(target: Target) -> Iterator[Command]:
    """The commands of a target, and those of the targets that it needs, as calls of `make`."""
    for need in target.needs:
        yield Command(target.path, target.line, f"make {need}", "makefile", target.name)
    for command in target.commands:
        yield Command(target.path, target.line, command, "makefile", target.name)


def in_dockerfile(dockerfile: Dockerfile) -> Iterator[Command]:
    """What an image runs when it is built and when it starts."""
    for instruction in dockerfile.of("RUN", "CMD", "ENTRYPOINT"):
        yield Command(dockerfile.path, instruction.line, _shell_text(instruction.words), "dockerfile")


def in_script(path: str, text: str) -> Iterator[Command]:
    """The commands of a shell script."""
    for number, line in _logical_lines(text, first=1):
        yield Command(path, number, line, "script", PurePosixPath(path).name)


def in_tasks(module: PythonModule) -> Iterator[Command]:
    """What `invoke` tasks and sessions of `nox` run, under the function's name; and processes that code starts."""
    for call in module.calls:
        is_task = call.method in ("run", "run_always", "sudo") and re.match(r"(\?|c|ctx|context|session)\.", call.name)
        if not is_task and not call.name.startswith(("subprocess.", "os.system", "os.popen")):
            continue
        text = _text_of(call.node.args[:8]) if call.node.args else ""
        if text:
            called = call.inside.rpartition(".")[2].replace("_", "-")
            yield Command(module.path, call.line, text, "task" if is_task else "code", called)


def in_config(config: Config) -> Iterator[Command]:
    """The commands in a configuration file of a runner: Cloud Build, compose, tox, pyproject's tasks, Taskfile, DVC."""
    name = PurePosixPath(config.path).name.lower()
    if isinstance(config.get("steps"), list):
        yield from _in_cloud_build(config)
    if name in ("tox.ini", "setup.cfg") and isinstance(config.value, Mapping):
        for section, keys in config.value.items():
            for command in str(at(keys, "commands") or "").splitlines():
                if section.startswith(("testenv", "tox")) and command.strip():
                    called = section.partition(":")[2] or "testenv"
                    yield Command(config.path, config.line(section, "commands"), command.strip(), "task", called)
    if "compose" in name and isinstance(config.get("services"), Mapping):
        for service, settings in config.get("services").items():
            text = _shell_text(at(settings, "command")) if at(settings, "command") else ""
            if text:
                yield Command(config.path, config.line("services", service, "command"), text, "compose", service)
    for place, value in config.walk():
        if place[:2] in (("tool", "poe"), ("tool", "taskipy"), ("tool", "pdm")) and isinstance(value, str):
            yield Command(config.path, config.line(*place), value, "task", str(place[3]) if len(place) > 3 else "")
        elif name in ("taskfile.yml", "taskfile.yaml", "dvc.yaml") and "cmd" in str(place[-1:]):
            yield Command(config.path, config.line(*place), _shell_text(value), "task", str(place[1:2]))


def in_hooks(config: Config) -> Iterator[Command]:
    """The hooks of a pre-commit configuration, each as the command that it stands for."""
    repositories = config.get("repos")
    for index, repository in enumerate(repositories if isinstance(repositories, list) else []):
        hooks = at(repository, "hooks")
        for position, hook in enumerate(hooks if isinstance(hooks, list) else []):
            line = config.line("repos", index, "hooks", position)
            text = str(at(hook, "entry") or at(hook, "id") or "")
            if text:
                yield Command(config.path, line, text, "hook", str(at(hook, "id")))


def expanded(commands: list[Command], origin: Origin) -> list[Command]:
    """The commands of one origin, with those that they call by way of make, tox, invoke, nox, a script or hooks.

    A called command keeps its own place.
    """
    named: defaultdict[tuple[Origin, str], list[Command]] = defaultdict(list)
    for command in commands:
        named[command.origin, command.called].append(command)
    found = [command for command in commands if command.origin == origin]
    seen = set(found)
    queue = list(found)
    while queue:
        for command in _callees(queue.pop(), named):
            if command not in seen:
                seen.add(command)
                found.append(command)
                queue.append(command)
    return found


def _callees(caller: Command, named: Mapping[tuple[Origin, str], list[Command]]) -> Iterator[Command]:
    """The commands that a command calls, of those by their origin and the name under which they are called."""
    for part in parts(caller.text):
        words = part.split()
        program = words[0].rpartition("/")[2]
        wanted: list[tuple[Origin, str]] = [("script", word.rpartition("/")[2]) for word in words[:3]]
        if program == "make":
            wanted += [("makefile", word) for word in words[1:]]
        elif program in ("invoke", "inv", "nox", "poe", "task"):
            wanted += [("task", word.replace("_", "-")) for word in words[1:]]
        elif program in ("pre-commit", "prek") and "run" in words:
            wanted += [place for place in named if place[0] == "hook"]
        for place in wanted:
            yield from named.get(place, ())
        if program == "tox":
            chosen = ",".join(re.findall(r"-e\s*(\S+)", part)).split(",")
            for (origin, name), tasks in named.items():
                if origin == "task" and (chosen == [""] or name in (*chosen, "testenv")):
                    yield from (task for task in tasks if task.path.endswith(("tox.ini", "setup.cfg")))


def _in_cloud_build(config: Config) -> Iterator[Command]:
    for index, step in enumerate(config.get("steps")):
        if not isinstance(step, Mapping):
            continue
        builder = PurePosixPath(str(step.get("name") or "")).name.partition(":")[0]
        words = [step.get("entrypoint") or {"cloud-sdk": "gcloud", "google-cloud-cli": "gcloud"}.get(builder, builder)]
        arguments = step.get("args")
        words += arguments if isinstance(arguments, list) else str(arguments or "").split()
        text = _shell_text([str(word) for word in words])
        for script in (re.sub(r"^(\S*/)?(ba)?sh -\w*c ", "", text), str(step.get("script") or "")):
            for _, line in _logical_lines(script):
                yield Command(config.path, config.line("steps", index), line, "cloud build")


def _logical_lines(text: str, *, first: int = 0) -> Iterator[tuple[int, str]]:
    """The lines of a script with their numbers; continued ones joined, blank ones and comments left out."""
    pending, start = "", first
    for number, line in enumerate(text.splitlines(), first):
        if not pending:
            start = number
        pending += line.rstrip().removesuffix("\\").strip() + " "
        if line.rstrip().endswith("\\"):
            continue
        if pending.strip() and not pending.startswith("#"):
            yield start, pending.strip()
        pending = ""
    if pending.strip():
        yield start, pending.strip()


def _shell_text(words: Any) -> str:
    return " ".join(map(str, words)) if isinstance(words, list | tuple) else str(words)


def _text_of(nodes: list[ast.expr]) -> str:
    """The text of string arguments, of f-strings with their holes left open, and of lists of words."""
    found = []
    for node in nodes:
        match node:
            case ast.Constant(value=str(text)):
                found.append(text)
            case ast.JoinedStr(values=values):
                found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                found.append(_text_of(items))
            case ast.BinOp(left=left, right=right):
                found.append(_text_of([left, right]))
    return " ".join(part for part in found if part)
