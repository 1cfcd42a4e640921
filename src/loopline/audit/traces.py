"""What several rules ask of a repository: where a package is used, which commands run, what tests there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from loopline.core.records.audit import Evidence
from loopline.repository import UNKNOWN, Call, Command, Function, PythonModule, Repository, expanded, is_inside, is_test

# Enough to convince; a reader looks for more where the first is.
MOST_EVIDENCE = 3
_NO_PACKAGE = re.compile(r"(^|/)(setup|conf|noxfile|tasks|fabfile|test_environment)\.py$|(^|/)docs/")
_METHODS = ("get", "post", "put", "delete", "patch", "route", "api_route", "websocket")
_SERVERS = ("fastapi.FastAPI()", "fastapi.APIRouter()", "fastapi.routing.APIRouter()", "flask.Flask()", "quart.Quart()")


def code(repository: Repository) -> Iterator[PythonModule]:
    """The project's own modules: no tests, no set-up, no tasks, no scaffold that nobody touched."""
    for path, module in repository.python.items():
        if not is_test(path) and not _NO_PACKAGE.search(path) and not module.is_scaffold:
            yield module


def code_and_notebooks(repository: Repository) -> Iterator[PythonModule]:
    """The project's own modules, and the code of its notebooks after them."""
    yield from code(repository)
    yield from repository.notebooks.values()


def tests(repository: Repository) -> Iterator[PythonModule]:
    """The modules of tests."""
    return (module for path, module in repository.python.items() if is_test(path))


def uses(modules: Iterable[PythonModule], *packages: str) -> tuple[Evidence, ...]:
    """Where live code reads a name of one of the packages, once a module; a bare import is no use."""
    found = []
    for module in modules:
        if lines := module.uses(*packages):
            name = next(name for name, at in module.references.items() if lines[0] in at and is_inside(name, packages))
            found.append(module.evidence(lines[0], f"`{name.replace('()', '')}` is used."))
    return tuple(found[:MOST_EVIDENCE])


def calls(modules: Iterable[PythonModule], *names: str) -> Iterator[tuple[PythonModule, Call]]:
    """The live calls of these full names; one that ends in `.` stands for all that begin with it."""
    return ((module, call) for module in modules for call in module.calls_of(*names))


def called(modules: Iterable[PythonModule], *names: str) -> tuple[Evidence, ...]:
    """Evidence of such calls."""
    found = [module.evidence(call.line, f"`{plain(call.name)}` is called.") for module, call in calls(modules, *names)]
    return tuple(found[:MOST_EVIDENCE])


def methods(modules: Iterable[PythonModule], *names: str) -> Iterator[tuple[PythonModule, Call]]:
    """The live calls of methods of these names, whatever they belong to."""
    return ((module, call) for module in modules for call in module.calls if call.method in names)


def targets(repository: Repository, *packages: str) -> tuple[Evidence, ...]:
    """What configuration builds by `_target_`, as Hydra does, from one of the packages."""
    found = [
        Evidence(path=path, line=config.line(*place), sentence=f"`_target_` builds `{value}`.")
        for path, config in repository.configs.items()
        for place, value in config.walk()
        if place[-1] == "_target_" and isinstance(value, str) and is_inside(value, packages)
    ]
    return tuple(found[:MOST_EVIDENCE])


def running(commands: Sequence[Command], pattern: str) -> tuple[Evidence, ...]:
    """The commands that run what the pattern matches from the start of a simple command on."""
    found = [command.evidence(f"Runs `{shown(command.text)}`.") for command in commands if command.runs(pattern)]
    return tuple(found[:MOST_EVIDENCE])


def ci_commands(repository: Repository) -> list[Command]:
    """What workflows run, and what those commands call: targets, tasks, scripts, hooks."""
    return expanded(list(repository.commands), "workflow")


def named(repository: Repository, pattern: str) -> tuple[str, ...]:
    """The own files whose path matches, in any case."""
    return tuple(path for path in repository.own_paths if re.search(pattern, path, re.IGNORECASE))


def test_functions(module: PythonModule) -> list[Function]:
    """The functions that pytest collects."""
    return [
        function
        for function in module.functions
        if function.name.rpartition(".")[2].startswith("test")
        and not any("skip" in decorator and "skipif" not in decorator for decorator in function.decorators)
    ]


def routes(repository: Repository) -> list[tuple[PythonModule, Function]]:
    """The handlers of the project's own services: functions decorated as routes of FastAPI or Flask."""
    return [
        (module, function)
        for module in code(repository)
        for function in module.functions
        if any(
            decorator.rpartition(".")[2] in _METHODS and is_server(decorator.rpartition(".")[0])
            for decorator in function.decorators
        )
    ]


def is_server(name: str) -> bool:
    """Whether a full name is an application or a router, one imported from the project's own modules included."""
    return name in _SERVERS or bool(re.search(r"(^|\.)(app|api|router|server|application|backend\w*)$", name))


def reads(repository: Repository, module: PythonModule, function: Function, *, steps: int = 4) -> set[str]:
    """The full names that a function reads, and those that the project's own functions read that it names."""
    found: set[str] = set()
    seen = {function.node}
    queue = [(module, function, steps)]
    while queue:
        current_module, current, left = queue.pop()
        names = current_module.names_in(current.node)
        found |= names
        for name in names if left else ():
            definition = repository.find_definition(name) if not name.startswith(UNKNOWN) else None
            if definition is not None and definition[1].node not in seen:
                seen.add(definition[1].node)
                queue.append((*definition, left - 1))
    return found


def is_reached(repository: Repository, evidence: Evidence) -> bool:
    """Whether code at a place can run: False inside a plain function that no other code and no setting names."""
    module = repository.python.get(evidence.path or "")
    if module is None or evidence.line is None:
        return True
    line = evidence.line
    holders = [f for f in module.functions if f.line <= line <= (f.node.end_lineno or f.line)]
    outermost = holders[0] if holders else None
    if outermost is None or "." in outermost.name or outermost.decorators:
        return True
    return outermost.name in repository.names_read


def shown(text: str) -> str:
    """A command as a sentence can hold it: one line, no backticks. What must not be shown, `audit` hides."""
    return " ".join(text.replace("`", "'").split())


def plain(name: str) -> str:
    """A full name without its marks of calls and of the unknown."""
    return name.replace("()", "").removeprefix("?.")


def stem(path: str) -> str:
    """A file's name without its folder and last suffix, in lower case."""
    return PurePosixPath(path).stem.lower()
