"""Small changes to a module, one at a time, that a test of the module should notice. Pure.

Left alone is what decides nothing: types, decorators, docstrings, the own text of f-strings,
strings with a space in them, which are for people, and the `strict` of zip.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

_OPPOSITE: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
_OTHER_FUNCTION: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change; `make` carries it out on the tree that it was found in."""

    function: str
    """Its qualified name; empty at the module's level."""
    text: str
    """Before -> after."""
    lines: range
    """Of the statement: whoever runs none of them cannot notice."""
    make: Callable[[], None]

    @property
    def name(self) -> str:
        """The same when other lines move."""
        return f"{self.function or 'module'}: {self.text}"


def mutations(source: str) -> list[Mutation]:
    """All there are, in the order of the source."""
    return _found(ast.parse(source))


def mutated(source: str, number: int | None) -> ast.Module:
    """The module with one of its `mutations`, or with none, to be compiled."""
    tree = ast.parse(source)
    if number is not None:
        _found(tree)[number].make()
    return ast.fix_missing_locations(tree)


def _found(tree: ast.Module) -> list[Mutation]:
    return list(_inside(tree, "", tree.body[0]) if tree.body else ())


def _inside(node: ast.AST, function: str, statement: ast.stmt) -> Iterator[Mutation]:
    """Of a node and all below it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.stmt):
        statement = node
    for before, after, make in _changes(node):
        where = f" in {_head(statement)}" if isinstance(node, ast.Constant) else ""
        text = f"{_head(before)} -> {_head(after)}{where}"
        yield Mutation(function, text, _own_lines(statement), make)
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and _holds_a_rule(node, field, child):
                yield from _inside(child, function, statement)


def _holds_a_rule(node: ast.AST, field: str, child: ast.AST) -> bool:
    """Whether what is in a node's field decides anything: no text for people, no type."""
    if field in {"annotation", "returns", "decorator_list"}:
        return False
    match node, child:
        case _, ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return False
        case (ast.JoinedStr(), ast.Constant()) | (_, ast.keyword(arg="strict")):
            return False
        case _, ast.Constant(value=str(text)):
            return " " not in text
        case ast.Call(func=ast.Name(id="isinstance"), args=[_, kind]), _:
            return child is not kind
        case ast.Call(func=ast.Name(id="cast"), args=[kind, _]), _:
            return child is not kind
        case ast.Module(), ast.Assign(value=ast.BinOp(op=ast.BitOr()) | ast.Subscript()):
            return False  # A name for a type.
    return True


def _own_lines(node: ast.stmt) -> range:
    """Without those of the statements inside it."""
    inside = [*getattr(node, "body", ()), *(case.pattern for case in getattr(node, "cases", ()))]
    end = inside[0].lineno if inside else (node.end_lineno or node.lineno) + 1
    return range(node.lineno, max(end, node.lineno + 1))


def _head(code: ast.AST | str) -> str:
    """Its first line, at most 100 characters of it."""
    return (code if isinstance(code, str) else ast.unparse(code)).partition("\n")[0][:100]


_Change = tuple[str, str, Callable[[], None]]


def _changes(node: ast.AST) -> Iterator[_Change]:
    """Of this node alone."""
    match node:
        case ast.Compare(ops=ops):
            for place, each in enumerate(ops):
                yield _set(node, "ops", [*ops[:place], _OPPOSITE[type(each)](), *ops[place + 1 :]])
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign() | ast.UnaryOp(op=ast.USub()):
            yield _set(node, "op", _OPPOSITE[type(node.op)]())
        case ast.Constant(value=bool() | int() | float() | str() as value):
            yield _set(node, "value", _another(value))
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield _set(node, "value", ast.Constant(None))
        case ast.Expr(value=value):
            yield _set(node, "value", ast.Constant(None))
        case ast.Call(func=ast.Name(id=name)) if name in _OTHER_FUNCTION:
            yield _set(node, "func", ast.Name(_OTHER_FUNCTION[name], ast.Load()))
        case ast.Break() | ast.Continue():
            yield _set(node, "__class__", _OPPOSITE[type(node)])
    yield from _negations(node)


def _negations(node: ast.AST) -> Iterator[_Change]:
    """Of the conditions that stand in this node."""
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield _set(node, "test", _negated(test), test)
        case ast.match_case(guard=ast.expr() as guard):
            yield _set(node, "guard", _negated(guard), guard)
        case ast.comprehension(ifs=[condition]):
            yield _set(node, "ifs", [_negated(condition)], condition)


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(ast.Not(), test)


def _another(value: bool | float | str) -> bool | float | str:
    if isinstance(value, bool):
        return not value
    return f"{value}XX" if isinstance(value, str) else value + 1


def _set(node: ast.AST, field: str, new: Any, part: ast.AST | None = None) -> _Change:
    """A change of one field; shown is that part of it, or the node."""
    old, before = getattr(node, field), ast.unparse(part or node)
    setattr(node, field, new)
    changed = new[0] if isinstance(new, list) else new
    after = ast.unparse(changed if part else node)
    setattr(node, field, old)
    return before, after, lambda: setattr(node, field, new)
