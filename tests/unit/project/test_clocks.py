"""The product reads time from the one `Clock` that is handed down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PRODUCT: Final = ("common", "operator", "scheduler", "cli")
TIME: Final = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
DATE: Final = {"now", "utcnow", "today"}
EXCEPTIONS: Final = {
    "common/mediafleet_common/clock.py": "it is the clock",
    "cli/mediafleet/in_pod/wait_address.py": "an init container that imports next to nothing",
}


def readings(code: str) -> Iterator[str]:
    """Where a piece of code names a clock of the standard library, called or handed on."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name("time"), attr=name) if name in TIME:
                yield f"{node.lineno}: time.{name}"
            case ast.Attribute(attr=name) if name in DATE and ast.unparse(node.value).split(".")[
                -1
            ] in ("datetime", "date"):
                yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.ImportFrom(module="time", names=names):
                yield from (f"{node.lineno}: {each.name}" for each in names if each.name in TIME)
            case ast.Import(names=names):
                yield from (
                    f"{node.lineno}: time as {each.asname}"
                    for each in names
                    if each.name == "time" and each.asname not in (None, "time")
                )


def in_product() -> dict[str, list[str]]:
    files = [file for part in PRODUCT for file in sorted((ROOT / part).rglob("*.py"))]
    assert len(files) > 100
    read = {str(each.relative_to(ROOT)): list(readings(each.read_text("utf-8"))) for each in files}
    return {file: found for file, found in read.items() if found}


def test_no_file_of_the_product_reads_another_clock() -> None:
    found = in_product()
    assert {file: where for file, where in found.items() if file not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(found), "an exception that is not needed"


@pytest.mark.parametrize(
    "code",
    [
        "time.time()",
        "def f(now=time.time_ns): ...",
        "time.monotonic() - 1",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "from time import monotonic",
        "import time as clock",
    ],
)
def test_a_direct_reading_is_found(code: str) -> None:
    assert list(readings(code))


@pytest.mark.parametrize(
    "code",
    ["clock.unix()", "loop.time()", "time.sleep(1)", "job.time", "datetime.fromtimestamp(1, UTC)"],
)
def test_what_is_no_direct_reading_is_let_pass(code: str) -> None:
    assert list(readings(code)) == []
