"""The small changes that `make mutants` tries."""

from __future__ import annotations

import ast
import tomllib

import pytest
from tests.measures.cores import ROOT, core_of
from tests.measures.mutants import SURVIVORS
from tests.measures.mutations import mutated, mutations


def changed(source: str) -> list[str]:
    """The module after each of its changes, without those of constants."""
    return [
        ast.unparse(mutated(source, number))
        for number, each in enumerate(mutations(source))
        if " in " not in each.name
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a >= b", ["x = a > b"]),
        ("x = a == b", ["x = a != b"]),
        ("x = a is b", ["x = a is not b"]),
        ("x = a + b", ["x = a - b"]),
        ("x += b", ["x -= b"]),
        ("x = a and b", ["x = a or b"]),
        ("x = -a", ["x = +a"]),
        ("x = a ^ b", ["x = a & b"]),
        ("x = min(a)", ["x = max(a)"]),
        ("f(a)", ["None"]),
        ("x = a if b else c", ["x = a if not b else c"]),
        ("x = a if not b else c", ["x = a if b else c"]),
        ("x = [a for a in b if c]", ["x = [a for a in b if not c]"]),
    ],
)
def test_each_expression_has_its_opposite(before: str, after: list[str]) -> None:
    assert changed(before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "2"), ("0.5", "1.5"), ("True", "False"), ("'a'", "'aXX'"), ("''", "'XX'")],
)
def test_each_constant_has_a_neighbour(before: str, after: str) -> None:
    (only,) = mutations(f"x = {before}")
    assert only.name == f"module: {before} -> {after} in x = {before}"
    assert ast.unparse(mutated(f"x = {before}", 0)) == f"x = {after}"


def test_loops_and_cases_are_left_in_another_way() -> None:
    assert changed("for a in b:\n    break") == ["for a in b:\n    continue"]
    source = "match a:\n    case b if c:\n        pass"
    assert changed(source) == ["match a:\n    case b if not c:\n        pass"]


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""',
        "x: 'int | str'",
        "X = int | str",
        "X = dict[str, int]",
        "x = 'a text for people'",
        "x = f'text{y}'",
        "x = zip(a, b, strict=True)",
        "@f(1)\ndef g(a: int) -> int: ...",
        "if TYPE_CHECKING:\n    x = 1",
        "x = isinstance(a, b | c)",
        "return None",
    ],
)
def test_what_decides_nothing_is_left_alone(source: str) -> None:
    assert mutations(source) == []


SOURCE = """
class A:
    def f(self):
        if (a
            < b):
            return 1
        return 2
"""


def test_a_change_has_a_name_without_lines_and_the_lines_of_its_own_statement() -> None:
    found = {each.name: each.lines for each in mutations(SOURCE)}
    assert found == {
        "A.f: a < b -> not a < b": range(4, 6),
        "A.f: a < b -> a <= b": range(4, 6),
        "A.f: return 1 -> return None": range(6, 7),
        "A.f: 1 -> 2 in return 1": range(6, 7),
        "A.f: return 2 -> return None": range(7, 8),
        "A.f: 2 -> 3 in return 2": range(7, 8),
    }
    assert [each.name for each in mutations("\n\n" + SOURCE)] == list(found)


def test_each_survivor_that_does_not_matter_is_a_change_of_a_core_with_a_reason() -> None:
    for path, reasons in tomllib.loads(SURVIVORS.read_text()).items():
        assert core_of(path), path
        there = {each.name for each in mutations((ROOT / path).read_text())}
        assert reasons.keys() <= there, path
        assert all(reasons.values()), path
