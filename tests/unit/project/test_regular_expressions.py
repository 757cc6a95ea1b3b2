"""No regular expression of the product takes long, whatever a stranger writes."""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.api.values import patterns

from mediafleet_common.api import durations
from mediafleet_common.api.crds import MODELS, crd
from mediafleet_common.api.egress import redis
from mediafleet_common.api.pool import orchestrator_pool
from mediafleet_common.api.scaling import schedule

parser: Final[Any] = importlib.import_module("re._parser")
codes: Final[Any] = importlib.import_module("re._constants")
ROOT: Final = Path(__file__).parents[3]
PRODUCT: Final = ("common", "operator", "scheduler", "cli")
ANYWHERE: Final = ("search", "split", "sub", "subn", "findall", "finditer")
AT_ITS_START: Final = ("match", "fullmatch")
LONG: Final = 10_000
SECONDS: Final = 0.25
"""Beyond what ten thousand characters take, and far below what they take by their square."""


@dataclass(frozen=True, order=True)
class Expression:
    """A regular expression, and whether it is sought anywhere in a text."""

    where: str
    text: str | None
    """`None`: it is not written out there."""
    sought: bool


def in_code() -> Iterator[Expression]:
    for part in PRODUCT:
        for file in sorted((ROOT / part).rglob("*.py")):
            yield from in_file(file)


def in_file(file: Path) -> Iterator[Expression]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    methods = [each.func for each in calls if isinstance(each.func, ast.Attribute)]
    sought = {ast.unparse(each.value) for each in methods if each.attr in ANYWHERE}
    names = {
        each.value: ast.unparse(each.target)
        for each in ast.walk(tree)
        if isinstance(each, ast.AnnAssign)
    }
    for call in calls:
        function = ast.unparse(call.func)
        if function in {f"re.{each}" for each in (*ANYWHERE, *AT_ITS_START, "compile")}:
            first = call.args[0]
            yield Expression(
                f"{file.relative_to(ROOT)}",
                str(first.value) if isinstance(first, ast.Constant) else None,
                function.removeprefix("re.") in ANYWHERE or names.get(call) in sought,
            )


def in_schemas(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("type"), str):
            yield from patterns(part)
        for each in part.values():
            yield from in_schemas(each)
    elif isinstance(part, list):
        for each in part:
            yield from in_schemas(each)


IN_CODE: Final = tuple(in_code())
BY_NAME: Final = (
    durations.PATTERN,
    schedule.CRON_PATTERN,
    schedule.TIME_ZONE_PATTERN,
    redis.REDIS_ADDRESS_PATTERN,
    orchestrator_pool.CLI_ADDR_PATTERN,
    orchestrator_pool.ORCH_SECRET_PATTERN,
)
"""Of models, whose schema has them, too."""
EXPRESSIONS: Final = sorted(
    {each for each in IN_CODE if each.text is not None}
    | {
        Expression("schema", text, sought=False)
        for kind in MODELS
        for text in in_schemas(crd(kind))
    }
    | {Expression("by name", text, sought=False) for text in BY_NAME}
)
NAMES: Final = [f"{each.where} {each.text}" for each in EXPRESSIONS]
# A repeat within a repeat, each of which begins or ends with what is not in the inner one; their
# texts have 32 and 64 characters at most.
BOUNDED: Final = {durations.PATTERN, schedule.TIME_ZONE_PATTERN}


def test_each_is_written_out_where_it_is_used() -> None:
    made = [each.where for each in IN_CODE if each.text is None]
    models = (
        "base",
        "durations",
        "egress/redis",
        "pool/orchestrator_pool",
        "scaling/schedule",
        "scaling/schedule",
    )
    assert made == [f"common/mediafleet_common/api/{each}.py" for each in models]


def test_those_of_schemas_speak_of_the_whole_text() -> None:
    patterns = [each.text or "" for each in EXPRESSIONS if each.where == "schema"]
    assert [each for each in patterns if (each[0], each[-1]) != ("^", "$")] == []
    assert patterns


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=NAMES)
def test_no_repeat_without_bound_stands_within_another(expression: Expression) -> None:
    text = expression.text or ""
    assert text in BOUNDED or not list(nested(parser.parse(text), within=False))


def nested(part: Any, *, within: bool) -> Iterator[object]:
    for code, argument in part:
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            _, most, inner = argument
            endless = most is codes.MAXREPEAT
            if endless and within:
                yield argument
            yield from nested(inner, within=within or endless)
        elif code is codes.SUBPATTERN:
            yield from nested(argument[-1], within=within)
        elif code is codes.BRANCH:
            for branch in argument[1]:
                yield from nested(branch, within=within)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=NAMES)
def test_ten_thousand_characters_are_gone_through_at_once(expression: Expression) -> None:
    compiled = re.compile(expression.text or "", re.IGNORECASE | re.DOTALL)
    go_through = compiled.search if expression.sought else compiled.match
    pieces = [*"aA0.:/-%*, ", "1m", "a:", "%2f", "a.", "é", "invalid url ", "[", "a://"]
    for piece, end in product(pieces, ("", "\n", "\0")):
        attack = piece * (LONG // len(piece)) + end
        began = time.process_time()
        go_through(attack)
        assert time.process_time() - began < SECONDS, attack[:20]
