"""A Python file as rules ask about it: live imports, calls by their full names, functions, classes, constants.

Names are resolved through imports, aliases and simple assignments, so `DataLoader(…)`, `data.DataLoader(…)` and
`tud.DataLoader(…)` are all `torch.utils.data.DataLoader`. What an object's class is known for, its methods are, too:
after `app = FastAPI()`, `app.get(…)` is `fastapi.FastAPI().get`. A method of something unknown is `?.method`.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from loopline.core.records.audit import Evidence
from loopline.repository.live import LiveTree, Scope
from loopline.repository.syntax import DYNAMIC, UNKNOWN, Call, Class, Function, Import, dotted_name, is_inside

N = TypeVar("N", bound=ast.AST)
# Assignments are followed this far, which also ends circles.
_MAX_STEPS = 12
# What does something: loops, sums, files, coroutines, comprehensions.
_WORK = (
    ast.For,
    ast.While,
    ast.With,
    ast.AsyncWith,
    ast.AsyncFor,
    ast.Await,
    ast.BinOp,
    ast.AugAssign,
    ast.ListComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.Yield,
)
# Calls that only say something, take arguments, or name a place.
_IDLE = re.compile(
    r"(print|super|isinstance|str|click|typer|invoke|dotenv|warnings)\b.*|pathlib\.Path(\(\)\.resolve)?|"
    r"(logging\.getLogger\(\)|logging|loguru\.logger|\?)\.(info|debug|getLogger|basicConfig|__init__)"
)
_BUILTINS = frozenset(dir(builtins))


class PythonModule:
    """One parsed Python file or notebook. `path` is its place in the repository, `dotted` the name it imports as."""

    def __init__(self, path: str, tree: ast.Module, *, text: str = "") -> None:
        self.path = path
        self.tree = tree
        self.text = text
        self.dotted = dotted_name(path)
        self._live = LiveTree(tree)
        self._names: dict[ast.expr, str] = {}
        self._names_inside: dict[ast.AST, frozenset[str]] = {}
        self._bind_imports()

    @property
    def is_notebook(self) -> bool:
        return self.path.endswith(".ipynb")

    @cached_property
    def is_scaffold(self) -> bool:
        """Whether its functions do nothing yet, as a template's: they print, log, or call each other."""
        if not self.functions or any(self.live(kind) for kind in _WORK):
            return False
        names = [*(item.name for item in self.functions), *(item.name for item in self.classes)]
        own = {f"{self.dotted}.{name}" for name in names}
        return all(_is_idle(call.name, own) for call in self.calls)

    def evidence(self, line: int | ast.AST | None, sentence: str) -> Evidence:
        """Evidence in this file; a notebook's lines are no places in its file and stay out."""
        if isinstance(line, ast.AST):
            line = getattr(line, "lineno", None)
        return Evidence(path=self.path, line=None if self.is_notebook else line, sentence=sentence)

    def live(self, kind: type[N]) -> Sequence[N]:
        """The live syntax nodes of one type, in source order."""
        return self._live.nodes.get(kind, [])  # type: ignore[return-value]  # the table is keyed by the nodes' type

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a live node stands in, from the inside out, the module last."""
        while (parent := self._live.parents.get(node)) is not None:
            yield parent
            node = parent

    def enclosing(self, node: ast.AST) -> str:
        """The dotted names of the functions and classes that a live node stands in; empty at the top."""
        names = []
        scope: Scope | None = self._live.scopes.get(node)
        while scope is not None:
            names.append(getattr(scope.node, "name", ""))
            scope = scope.parent
        return ".".join(name for name in reversed(names) if name)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every live import, one for each name it brings."""
        found = []
        nodes: list[ast.Import | ast.ImportFrom] = [*self.live(ast.Import), *self.live(ast.ImportFrom)]
        for node in nodes:
            for alias in node.names:
                name = alias.name if isinstance(node, ast.Import) else f"{self._origin(node)}.{alias.name}"
                known_as = alias.asname or (name.partition(".")[0] if isinstance(node, ast.Import) else alias.name)
                found.append(Import(name, known_as, node.lineno, node))
        return tuple(sorted(found, key=lambda item: item.line))

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """Every live call."""
        return tuple(self.call(node) for node in self.live(ast.Call))

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Every live function and method, nested ones included."""
        nodes: list[ast.FunctionDef | ast.AsyncFunctionDef]
        nodes = [*self.live(ast.FunctionDef), *self.live(ast.AsyncFunctionDef)]
        return tuple(
            Function(self._defined_name(node), node.lineno, node, self._decorators(node.decorator_list))
            for node in sorted(nodes, key=lambda node: node.lineno)
        )

    @cached_property
    def classes(self) -> tuple[Class, ...]:
        """Every live class."""
        return tuple(
            Class(
                self._defined_name(node),
                node.lineno,
                node,
                tuple(self.resolve(base) for base in node.bases),
                self._decorators(node.decorator_list),
            )
            for node in self.live(ast.ClassDef)
        )

    @cached_property
    def _calls_by_name(self) -> Mapping[str, Sequence[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            found.setdefault(call.name, []).append(call)
        return found

    @cached_property
    def _references_by_root(self) -> Mapping[str, Sequence[str]]:
        """The names read by their first part: most modules read nothing of most packages."""
        found: dict[str, list[str]] = {}
        for name in self.references:
            found.setdefault(_root(name), []).append(name)
        return found

    def imports_of(self, *packages: str) -> list[Import]:
        """The live imports of these packages or of what is in them."""
        return [item for item in self.imports if is_inside(item.name, packages)]

    def calls_of(self, *names: str) -> list[Call]:
        """The calls whose full name is one of these; a name that ends in `.` stands for all that begins with it."""
        starts = tuple(name for name in names if name.endswith("."))
        wanted = [name for name in self._calls_by_name if name in names or (starts and name.startswith(starts))]
        found = [call for name in wanted for call in self._calls_by_name[name]]
        return sorted(found, key=lambda call: call.line)

    @cached_property
    def references(self) -> Mapping[str, tuple[int, ...]]:
        """Each full name of something imported that live code reads, with the lines; bare imports are no use."""
        found: dict[str, list[int]] = {}
        attributes = self.live(ast.Attribute)
        inner = {node.value for node in attributes}
        for node in (*attributes, *(name for name in self.live(ast.Name) if isinstance(name.ctx, ast.Load))):
            if node not in inner and (name := self.resolve(node)) and not name.startswith(UNKNOWN):
                found.setdefault(name, []).append(node.lineno)
        return {name: tuple(lines) for name, lines in found.items()}

    def uses(self, *packages: str) -> list[int]:
        """The lines on which live code reads a name of these packages, sorted; a bare import is no use."""
        names = [
            name for root in {_root(package) for package in packages} for name in self._references_by_root.get(root, ())
        ]
        return sorted(line for name in names if is_inside(name, packages) for line in self.references[name])

    def names_in(self, node: ast.AST) -> frozenset[str]:
        """The full names of what code inside of a node reads, methods of the unknown as `?.method`."""
        if node not in self._names_inside:
            own = (child for child in ast.walk(node) if isinstance(child, ast.Name | ast.Attribute))
            self._names_inside[node] = frozenset(map(self.resolve, own))
        return self._names_inside[node]

    def call(self, node: ast.Call) -> Call:
        """A call's full name and arguments."""
        return Call(
            name=self.resolve(node.func),
            line=node.lineno,
            node=node,
            arguments=tuple(self.constant(item) for item in node.args if not isinstance(item, ast.Starred)),
            keywords={item.arg: self.constant(item.value) for item in node.keywords if item.arg is not None},
            inside=self.enclosing(node),
        )

    def resolve(self, node: ast.expr) -> str:
        """The full name of what an expression stands for, with `()` after what was called; `?` where unknown."""
        if node not in self._names:
            self._names[node] = self._resolve(node, _MAX_STEPS)
        return self._names[node]

    def origin(self, node: ast.expr) -> ast.expr:
        """The expression that a plain name was assigned last before it is read; the node itself where none is."""
        scope: Scope | None = self._live.scopes.get(node)
        while isinstance(node, ast.Name) and scope is not None:
            if node.id in scope.assigned:
                return _latest(scope.assigned[node.id], node.lineno) or node
            scope = scope.parent
        return node

    def is_looped(self, node: ast.expr) -> bool:
        """Whether a plain name is the variable of a loop, in this module."""
        loops: list[ast.expr] = [loop.target for loop in self.live(ast.For)]
        loops += [loop.target for loop in self.live(ast.comprehension)]
        return isinstance(node, ast.Name) and any(
            isinstance(part, ast.Name) and part.id == node.id for target in loops for part in ast.walk(target)
        )

    def constant(self, node: ast.expr) -> Any:
        """The value of a constant expression, names of constants followed; `DYNAMIC` where only running tells."""
        return self._constant(node, _MAX_STEPS)

    def _resolve(self, node: ast.expr, steps: int) -> str:  # noqa: PLR0911 - a return for each kind of expression
        if steps == 0:
            return UNKNOWN
        match node:
            case ast.Name(id=name):
                return self._resolve_name(name, node, steps)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=attribute):
                return self._resolve_own(attribute, node, steps)
            case ast.Attribute(value=value, attr=attribute):
                return f"{self._resolve(value, steps - 1)}.{attribute}"
            case ast.Call(func=function):
                return _called(self._resolve(function, steps - 1))
            case ast.Await(value=value) | ast.NamedExpr(value=value):
                return self._resolve(value, steps - 1)
            case ast.Subscript(value=ast.Name() | ast.Attribute() as value) if self._is_type(value, steps):
                return self._resolve(value, steps - 1)
        return UNKNOWN

    def _is_type(self, node: ast.expr, steps: int) -> bool:
        """True for a name such as `Generic` in `Generic[T]`: an imported class, not a variable's element."""
        name = self._resolve(node, steps - 1)
        return "()" not in name and name.rpartition(".")[2][:1].isupper()

    def _resolve_name(self, name: str, node: ast.AST, steps: int) -> str:
        first = self._live.scopes.get(node, self._live.module)
        scope: Scope | None = first
        while scope is not None:
            # A class's names are not seen from its methods.
            if scope is first or not scope.is_class:
                if name in scope.imported:
                    return scope.imported[name]
                if name in scope.defined:
                    return self._defined_name(scope.defined[name], absolute=True)
                if name in scope.assigned:
                    value = _latest(scope.assigned[name], getattr(node, "lineno", 0))
                    return UNKNOWN if value is None else self._resolve(value, steps - 1)
            scope = scope.parent
        # A name that nothing binds comes from `from … import *`, where there is one.
        return f"{self._star}.{name}" if self._star and name not in _BUILTINS else name

    def _resolve_own(self, attribute: str, node: ast.AST, steps: int) -> str:
        scope: Scope | None = self._live.scopes.get(node)
        while scope is not None and not scope.is_class:
            scope = scope.parent
        if scope is None:
            return f"{UNKNOWN}.{attribute}"
        if attribute in scope.defined:
            return self._defined_name(scope.defined[attribute], absolute=True)
        values = [value for _, value in scope.assigned.get(f"self.{attribute}", []) if value is not None]
        resolved = next((name for value in values if (name := self._resolve(value, steps - 1)) != UNKNOWN), None)
        return resolved or f"{UNKNOWN}.{attribute}"

    def _constant(self, node: ast.expr, steps: int) -> Any:  # noqa: PLR0911 - as above
        if steps == 0:
            return DYNAMIC
        match node:
            case ast.Constant(value=value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                value = self._constant(operand, steps - 1)
                return -value if isinstance(value, int | float) else DYNAMIC
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self._constant(item, steps - 1) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {
                    str(self._constant(key, steps - 1)): self._constant(value, steps - 1)
                    for key, value in zip(keys, values, strict=True)
                    if key is not None
                }
            case ast.Name(id=name):
                return self._constant_of_name(name, node, steps)
        return DYNAMIC

    def _constant_of_name(self, name: str, node: ast.AST, steps: int) -> Any:
        scope: Scope | None = self._live.scopes.get(node, self._live.module)
        while scope is not None:
            if name in scope.assigned:
                value = _latest(scope.assigned[name], getattr(node, "lineno", 0))
                return DYNAMIC if value is None else self._constant(value, steps - 1)
            scope = scope.parent
        return DYNAMIC

    def _decorators(self, nodes: list[ast.expr]) -> tuple[str, ...]:
        return tuple(self.resolve(node.func if isinstance(node, ast.Call) else node) for node in nodes)

    def _defined_name(self, node: ast.AST, *, absolute: bool = False) -> str:
        outer = self.enclosing(node)
        name = f"{outer}.{getattr(node, 'name', '')}" if outer else getattr(node, "name", "")
        return f"{self.dotted}.{name}" if absolute else name

    @cached_property
    def _star(self) -> str:
        """The module whose names were all imported last; empty where none were."""
        return next((item.name.removesuffix(".*") for item in reversed(self.imports) if item.known_as == "*"), "")

    def _bind_imports(self) -> None:
        for item in self.imports:
            scope = self._live.scopes[item.node]
            bare = isinstance(item.node, ast.Import) and item.known_as == item.name.partition(".")[0]
            scope.imported.setdefault(item.known_as, item.known_as if bare else item.name)

    def _origin(self, node: ast.ImportFrom) -> str:
        """The module that `from … import` names, relative ones made absolute."""
        if not node.level:
            return node.module or ""
        parts = self.dotted.split(".")
        is_package = self.path.endswith("__init__.py")
        kept = parts[: max(len(parts) - node.level + is_package, 0)]
        return ".".join([*kept, *([node.module] if node.module else [])])


def _root(name: str) -> str:
    return name.partition(".")[0].removesuffix("()")


def _is_idle(name: str, own: set[str]) -> bool:
    plain = name.replace("()", "")
    return bool(_IDLE.fullmatch(name)) or plain in own or plain.rpartition(".")[0] in own


def _called(name: str) -> str:
    return UNKNOWN if name.startswith(UNKNOWN) else f"{name}()"


def _latest(assignments: list[tuple[int, ast.expr | None]], line: int) -> ast.expr | None:
    """The value assigned last before a line; the first one where all come later, as in a loop or another function."""
    before = [value for assigned_at, value in assignments if assigned_at < line]
    return before[-1] if before else assignments[0][1]
