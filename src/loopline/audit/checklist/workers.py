"""How many processes load the data: followed from the loader back to where the number comes from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from loopline.audit.traces import code, code_and_notebooks
from loopline.core.records.audit import Evidence
from loopline.repository import UNKNOWN, PythonModule, Repository

_NAME = re.compile(
    r"^((dataloader_|loader_)?(num|n)_?(loader_)?(workers|cpus)|workers|num_proc(esses)?_loading)$", re.IGNORECASE
)
_CORES = re.compile(r"(os|multiprocessing|psutil)\.(process_)?cpu_count$|sched_getaffinity$|torch\.get_num_threads$")
# What loads batches: torch's loader, those of other libraries, and functions that make one.
_LOADERS = re.compile(r"loaders?$|TrainingArguments$", re.IGNORECASE)
_OPTIONS = ("add_argument", "option", "Option", "Argument", "Field")


def find_workers(repository: Repository) -> Iterator[Evidence]:
    """Evidence of loaders with more than no worker in effect: a constant, the cores, a default, a setting."""
    followed: set[str] = set()
    for module in code_and_notebooks(repository):
        for node, line in _numbers_given(module):
            value = module.constant(node)
            if _is_several(value):
                yield module.evidence(line, f"Loads data with {value} workers.")
                continue
            parts = [*ast.walk(node), *ast.walk(module.origin(node))]
            if any(_is_cores(module, part) or _counts_cores(repository, module, part) for part in parts):
                yield module.evidence(line, "Loads data with as many workers as there are cores.")
            elif module.is_looped(node):
                yield module.evidence(line, "Loads data with several numbers of workers, one after another.")
            else:
                followed |= {name for part in parts if (name := _name(part)) and _NAME.match(name)}
    for name in sorted(followed):
        yield from _in_settings(repository, name)
        yield from _in_code(repository, name)
    yield from _beside_targets(repository)


def _numbers_given(module: PythonModule) -> Iterator[tuple[ast.expr, int]]:
    """The numbers of workers that loaders are given, also by way of a mapping of their arguments."""
    has_loader = False
    for call in module.calls:
        if _LOADERS.search(call.method):
            has_loader = True
            for keyword in call.node.keywords:
                if keyword.arg and _NAME.match(keyword.arg):
                    yield keyword.value, call.line
    for mapping in module.live(ast.Dict) if has_loader else ():
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and _NAME.match(key.value):
                yield value, value.lineno


def _in_settings(repository: Repository, name: str) -> Iterator[Evidence]:
    for path, config in repository.configs.items():
        for place, value in config.walk():
            if place[-1] == name and _is_several(value):
                yield Evidence(path=path, line=config.line(*place), sentence=f"`{name}` is {value}.")


def _in_code(repository: Repository, name: str) -> Iterator[Evidence]:
    """Where code gives the name a number above 0: as an option's default, an argument, a parameter, a variable."""
    for module in code(repository):
        for call in module.calls:
            options = [str(text).lstrip("-").replace("-", "_") for text in call.arguments if isinstance(text, str)]
            if call.method in _OPTIONS and name in options and _is_several(call.argument("default")):
                yield module.evidence(call.line, f"`{name}` is {call.argument('default')} where nothing else is given.")
            if _is_several(call.keywords.get(name)):
                yield module.evidence(call.line, f"`{name}` is {call.keywords[name]}.")
        for function in module.functions:
            for argument, default in _defaults(function.node):
                if argument.arg == name and _is_several(module.constant(default)):
                    yield module.evidence(
                        argument, f"`{name}` is {module.constant(default)} where nothing else is given."
                    )
        assignments: list[ast.Assign | ast.AnnAssign] = [*module.live(ast.Assign), *module.live(ast.AnnAssign)]
        for node in assignments:
            given = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in map(_name, given) and node.value is not None and _gives_several(module, node.value):
                yield module.evidence(node, f"`{name}` is set to more than none.")


def _gives_several(module: PythonModule, node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and module.call(node).method in _OPTIONS:
        return _is_several(module.call(node).argument("default", 0))
    return _is_several(module.constant(node)) or any(_is_cores(module, part) for part in ast.walk(node))


def _beside_targets(repository: Repository) -> Iterator[Evidence]:
    """Numbers of workers in settings that Hydra builds an object from."""
    for path, config in repository.configs.items():
        built = {place[:-1] for place, _ in config.walk() if place[-1] == "_target_"}
        for place, value in config.walk() if built else ():
            if place[:-1] in built and _NAME.match(str(place[-1])) and _is_several(value):
                yield Evidence(path=path, line=config.line(*place), sentence=f"Loads data with {value} workers.")


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[ast.arg, ast.expr]]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    yield from zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True)
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if default is not None:
            yield argument, default


def _is_cores(module: PythonModule, node: ast.AST) -> bool:
    is_name = isinstance(node, ast.Name | ast.Attribute)
    return is_name and bool(_CORES.search(module.resolve(node).replace("()", "")))  # type: ignore[arg-type]  # a name


def _counts_cores(repository: Repository, module: PythonModule, node: ast.AST) -> bool:
    """Whether a call is to a function of the project's own that asks for the number of cores."""
    name = module.resolve(node.func) if isinstance(node, ast.Call) else ""
    definition = repository.find_definition(name) if name and not name.startswith(UNKNOWN) else None
    return definition is not None and any(_CORES.search(read) for read in definition[0].names_in(definition[1].node))


def _name(node: ast.AST) -> str:
    """What a variable, an attribute or a key is called; empty for anything else."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
    return ""


def _is_several(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
