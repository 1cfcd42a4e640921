"""What several rules ask of code: what stands inside of a node, which loops there are, what handles requests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from loopline.repository import Call, Function, PythonModule, Repository

Loop = ast.For | ast.AsyncFor | ast.While
LOADERS = re.compile(
    r"^(torch\.(jit\.)?load|joblib\.load|pickle\.load|onnxruntime\.InferenceSession|transformers\.pipeline|"
    r"(tensorflow\.)?keras\.models\.load_model|mlflow\.\w+\.load_model|ultralytics\.YOLO)$|"
    r"\.(from_pretrained|load_from_checkpoint)$"
)


def calls_in(module: PythonModule, node: ast.AST) -> list[Call]:
    """The live calls inside of a node, nested functions included."""
    inside = {child for child in ast.walk(node) if isinstance(child, ast.Call)}
    return [call for call in module.calls if call.node in inside]


def calls_through(
    repository: Repository, module: PythonModule, node: ast.AST, *, steps: int = 3
) -> Iterator[tuple[PythonModule, Call]]:
    """The live calls inside of a node, and those in the project's own functions and constructors that it calls."""
    seen = {node}
    queue = [(module, node, steps)]
    while queue:
        where, inside, left = queue.pop(0)
        for call in calls_in(where, inside):
            yield where, call
            definition = own_definition(repository, where, call) if left else None
            if definition is not None and definition[1].node not in seen:
                seen.add(definition[1].node)
                queue.append((definition[0], definition[1].node, left - 1))


def own_definition(repository: Repository, module: PythonModule, call: Call) -> tuple[PythonModule, Function] | None:
    """The project's own function, or the constructor of its own class, that a call runs."""
    # `predict(x)` after `predict = make()` calls what `make` gave, and not `make`.
    if call.name.endswith("()"):
        return None
    name = call.name.replace("()", "")
    for full in (name, f"{name}.__init__"):
        if found := repository.find_definition(full):
            return found
        if module.is_notebook:  # whose functions nobody else can import
            here = (function for function in module.functions if f"{module.dotted}.{function.name}" == full)
            if (function := next(here, None)) is not None:
                return module, function
    return None


def innermost_loop(module: PythonModule, node: ast.AST) -> Loop | None:
    """The loop that a node stands in directly; None where a function or the module comes first."""
    for parent in module.parents(node):
        if isinstance(parent, Loop):
            return parent
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return None
    return None


def function_or_module(module: PythonModule, node: ast.AST) -> ast.AST:
    """The function that a node stands in, or the module."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return next((parent for parent in module.parents(node) if isinstance(parent, functions)), module.tree)


def last_names(nodes: list[ast.expr]) -> Iterator[str]:
    """The names that arguments are written with, without what they belong to: `self.test_set` is `test_set`."""
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Starred):
            yield from last_names([node.value])
        elif isinstance(node, ast.List | ast.Tuple):
            yield from last_names(node.elts)
