"""The bounded reader of metrics: what a stranger may send costs little, and never a traceback."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from mediafleet_common.probes.exposition import MAX_BYTES, MAX_SERIES, Series, read
from mediafleet_common.probes.load import Load, Source, UnreadableMetricsError, named, parse

NAME = "livekit_egress_requests"
MEBIBYTE = 1 << 20


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\1"), max_size=20),
        st.integers(0, 1000),
        max_size=5,
    )
)
def test_it_reads_what_a_client_library_writes(values: dict[str, int]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge(NAME, "Help.", ["type"], registry=registry)
    for label, value in values.items():
        gauge.labels(label).set(value)
    told = {each.labels["type"]: each.value for each in read(generate_latest(registry), [NAME])}
    assert told == values


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"{NAME} 3", 3.0),
        (f"{NAME} 3 1700000000000", 3.0),
        (f"{NAME}\t3\r", 3.0),
        (f'{NAME}{{a="}} 9",b="\\"\\\\\\n",}} 3e0 -5', 3.0),
        (f"{NAME}{{}} 3", 3.0),
        (f"{NAME} NaN", None),
        (f"{NAME} +Inf", None),
        (f"{NAME} 1e999", None),
        (f"# HELP {NAME} 3\n{NAME}_total 4\nmy_{NAME} 5", None),
    ],
)
def test_one_line(line: str, value: float | None) -> None:
    assert [each.value for each in read(line.encode(), [NAME])] == ([value] if value else [])


@pytest.mark.parametrize(
    "line",
    [
        f"{NAME} 1_000",
        f"{NAME} ٣",
        f"{NAME} 0x10",
        f"{NAME} {'9' * 33}",
        f"{NAME} 3 soon",
        f"{NAME} 3 4 5",
        f"{NAME} ",
        f"{NAME}{{type=3}} 3",
        NAME + '{type="3} 3',
        NAME + '{type="3\\"} 3',
        NAME + "{" + ",".join(f'a{i}="b"' for i in range(33)) + "} 1",
        f'{NAME}{{type="{"x" * 5000}"}} 3',
    ],
)
def test_a_line_that_is_none_is_refused_by_name(line: str) -> None:
    with pytest.raises(UnreadableMetricsError, match=NAME):
        read(f"{line}\nother 1\n".encode(), [NAME])


@pytest.mark.parametrize(
    "text",
    [
        b"\n" * MEBIBYTE,
        b"#" * MEBIBYTE,
        b" " * MEBIBYTE,
        b"\xff" * MEBIBYTE,
        (NAME.encode() + b"x 1\n") * 40_000,
        (NAME.encode() + b" 1\n") * 40_000,
        NAME.encode() + b'{a="' + b"\\" * MEBIBYTE,
        NAME.encode() + b"{" + b"," * MEBIBYTE,
        b"\n".join(NAME.encode() + b'{%s="b"} 1' % (b"a" * 4000) for _ in range(250)),
        b"\n".join(NAME.encode() + b'{%s="b"} 1' % (b"a" * 4000) for _ in range(16)),
        b"\n".join(NAME.encode() + b'{a="' + b'\\"' * 1900 + b'"} 1' for _ in range(16)),
        b"\n".join(NAME.encode() + b"{" + b'="",' * 31 + b"} 1" for _ in range(64)),
    ],
    ids=[
        "empty lines",
        "a comment",
        "blanks",
        "no text",
        "names that begin alike",
        "series",
        "escapes without end",
        "commas without end",
        "too many long names of labels",
        "long names of labels",
        "lines full of escapes",
        "many labels",
    ],
)
def test_no_mebibyte_is_looked_at_again_and_again(text: bytes) -> None:
    def took() -> float:
        began = time.process_time()
        with contextlib.suppress(UnreadableMetricsError):
            parse(text, Source.EGRESS)
        return time.process_time() - began

    # Some milliseconds; what looks at each byte again and again takes minutes.
    assert min(took() for _ in range(3)) < 0.5


def test_more_series_than_the_bound_are_refused() -> None:
    enough = f"{NAME} 1\n" * MAX_SERIES
    assert len(read(enough.encode(), [NAME])) == MAX_SERIES
    with pytest.raises(UnreadableMetricsError, match="more than"):
        read((enough + f"{NAME} 1\n").encode(), [NAME])
    with pytest.raises(UnreadableMetricsError, match="bytes"):
        read(b"#" * (MAX_BYTES + 1), [NAME])


@given(st.binary(max_size=200))
def test_nothing_but_the_typed_error_comes_out(tail: bytes) -> None:
    text = NAME.encode() + tail
    try:
        series = read(text, [NAME])
    except UnreadableMetricsError:
        return
    assert all(isinstance(each, Series) for each in series)


@pytest.mark.parametrize("value", ["1e308", "-1", "1e7"])
def test_a_value_that_makes_no_sense_is_unknown(value: str) -> None:
    text = (
        f'{NAME}{{type="track"}} {value}\nlivekit_egress_available 0\n'
        f'livekit_load_ratio{{type="pulse"}} {value}\nlivekit_node_cpu_load {value}\n'
        f"livekit_egress_handler_results_total {value}\n"
    )
    assert parse(text, Source.EGRESS) == Load()
    assert named(f"jobs {value}\n", "jobs") is None
