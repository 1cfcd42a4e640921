"""The live part of a module's syntax tree, each node with its scope.

Dead is what can never run: the body of `if False`, `while 0` and `if TYPE_CHECKING`, and what stands after `return`,
`raise`, `break` or `continue` in its block. Comments and strings are no nodes to begin with.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

_LEAVES = frozenset({ast.Name, ast.Constant, ast.Pass, ast.alias})
_BINDING = frozenset(
    {
        ast.Assign,
        ast.AnnAssign,
        ast.NamedExpr,
        ast.For,
        ast.AsyncFor,
        ast.comprehension,
        ast.withitem,
        ast.ExceptHandler,
    }
)
# Fields that hold names, operators and contexts, which are nobody's question.
_PLAIN_FIELDS = frozenset({"arg", "attr", "ctx", "id", "kind", "level", "module", "name", "op", "ops", "type_comment"})
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_TYPES_ONLY = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING")


@dataclass(eq=False)
class Scope:
    """A module, class, function or comprehension: what its names are bound to, and what encloses it."""

    node: ast.AST
    parent: Scope | None
    # Names to the dotted names that imports gave them.
    imported: dict[str, str] = field(default_factory=dict)
    # Names to the expressions assigned to them, with their lines; None where nobody can tell (a parameter, a loop).
    assigned: dict[str, list[tuple[int, ast.expr | None]]] = field(default_factory=dict)
    # Names of the functions and classes defined here.
    defined: dict[str, ast.AST] = field(default_factory=dict)

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    def bind(self, name: str, line: int, value: ast.expr | None) -> None:
        """Records that a statement gives the name a value."""
        self.assigned.setdefault(name, []).append((line, value))


class LiveTree:
    """The live nodes of a module by type, in source order, and the scope and the parent of each."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(tree, None)
        self.nodes: defaultdict[type[ast.AST], list[ast.AST]] = defaultdict(list)
        self.scopes: dict[ast.AST, Scope] = {}
        # The fields of each type in which nodes can stand.
        self._fields: dict[type[ast.AST], tuple[str, ...]] = {}
        self._enter_block(tree.body, self.module)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """What each live node stands in. Most modules are never asked, and the table is as large as their scopes."""
        holders = [self.module.node, *(node for nodes in self.nodes.values() for node in nodes)]
        return {child: node for node in holders for child in ast.iter_child_nodes(node) if child in self.scopes}

    def _enter_block(self, statements: list[ast.stmt], scope: Scope) -> None:
        for statement in statements:
            self._enter(statement, scope)
            if isinstance(statement, _ENDS):
                break

    def _enter(self, node: ast.AST, scope: Scope) -> None:
        kind = type(node)
        self.nodes[kind].append(node)
        self.scopes[node] = scope
        if kind in _LEAVES:
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            self._enter_definition(node, scope)
        elif isinstance(node, ast.If | ast.While):
            self._enter(node.test, scope)
            truth = _truth(node.test)
            if truth is not False:
                self._enter_block(node.body, scope)
            if truth is not True or kind is ast.While:
                self._enter_block(node.orelse, scope)
        else:
            if kind in _BINDING:
                _bind_statement(node, scope)
            self._enter_fields(node, scope)

    def _enter_fields(self, node: ast.AST, scope: Scope) -> None:
        kind = type(node)
        if kind not in self._fields:
            self._fields[kind] = tuple(name for name in kind._fields if name not in _PLAIN_FIELDS)
        for name in self._fields[kind]:
            value = getattr(node, name)
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    self._enter_block(value, scope)
                else:
                    for item in value:
                        if isinstance(item, ast.AST):
                            self._enter(item, scope)
            elif isinstance(value, ast.AST):
                self._enter(value, scope)

    def _enter_definition(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef, scope: Scope
    ) -> None:
        """Decorators, defaults and bases belong to the outer scope, the body to a new one."""
        inner = Scope(node, scope)
        if isinstance(node, ast.ClassDef):
            scope.defined[node.name] = node
            outer: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
        else:
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                inner.bind(argument.arg, argument.lineno, None)
            for extra in (arguments.vararg, arguments.kwarg):
                if extra is not None:
                    inner.bind(extra.arg, extra.lineno, None)
            outer = [arguments]
            if not isinstance(node, ast.Lambda):
                scope.defined[node.name] = node
                outer = [*node.decorator_list, arguments, *([node.returns] if node.returns else [])]
        for child in outer:
            self._enter(child, scope)
        if isinstance(node, ast.Lambda):
            self._enter(node.body, inner)
        else:
            self._enter_block(node.body, inner)


def _truth(test: ast.expr) -> bool | None:
    """What a test always is; None where that depends."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Name | ast.Attribute) and ast.unparse(test) in _TYPES_ONLY:
        return False
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _truth(test.operand)
        return None if inner is None else not inner
    return None


def _bind_statement(node: ast.AST, scope: Scope) -> None:
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                _bind_target(target, value, scope)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            _bind_target(target, value, scope)
        case ast.NamedExpr(target=target, value=value):
            _bind_target(target, value, scope)
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            _bind_target(target, None, scope)
        case ast.withitem(context_expr=value, optional_vars=ast.expr() as target):
            _bind_target(target, value, scope)
        case ast.ExceptHandler(name=str(name)):
            scope.bind(name, node.lineno, None)


def _bind_target(target: ast.expr, value: ast.expr | None, scope: Scope) -> None:
    match target:
        case ast.Name(id=name):
            scope.bind(name, target.lineno, value)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in ("self", "cls"):
            holder: Scope | None = scope
            while holder is not None and not holder.is_class:
                holder = holder.parent
            if holder is not None:
                holder.bind(f"self.{name}", target.lineno, value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(parts) else None
            for index, part in enumerate(parts):
                _bind_target(part, None if values is None else values[index], scope)
        case ast.Starred(value=part):
            _bind_target(part, None, scope)
