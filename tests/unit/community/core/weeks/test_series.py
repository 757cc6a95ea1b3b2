"""Hours become series and are read back: the same, and nothing where nothing was told."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.collecting import Summary, read_summary
from mediafleet_scheduler.core.community.weeks.history import NoHistoryError, Row, history, rows
from mediafleet_scheduler.core.community.weeks.paths import Paths
from mediafleet_scheduler.core.community.weeks.queries import of_operator, own_streams
from mediafleet_scheduler.core.community.weeks.series import Sample, asked, samples, starts
from mediafleet_scheduler.core.community.weeks.table import DayRow, table

MIDNIGHT = 1_795_910_400
figures = st.integers(0, 1000).map(lambda n: 5 * n)


def pair(low: int, high: int) -> dict[str, int]:
    return {"average": min(low, high), "maximum": max(low, high)}


own = st.builds(pair, figures, figures)
span = st.tuples(st.integers(1, 99), st.integers(0, 99)).map(lambda s: f"{s[0]}-{s[0] + s[1]}")
group = st.fixed_dictionaries({}, optional={"streaming": span, "asking": span, "average": figures})
hour = st.fixed_dictionaries(
    {
        "groups": st.dictionaries(
            st.sampled_from(["world", "05+50+010", "de"]), group.filter(bool)
        ),
        "work": st.dictionaries(
            st.sampled_from(["aiByModel", "pixels"]),
            st.dictionaries(st.sampled_from(["all", "m/sd"]), figures, min_size=1),
        ),
    },
    optional={"own": own},
)


def summary(hours: dict[int, dict[str, Any]], region: str = "eu-west") -> Summary:
    """What an operator tells of these hours of a day, as an advertiser puts it."""
    told = [
        {"start": rfc3339(MIDNIGHT + 3600 * number), **each}
        for number, each in sorted(hours.items())
    ]
    averages = [each["own"]["average"] for each in hours.values() if "own" in each]
    maxima = [each["own"]["maximum"] for each in hours.values() if "own" in each]
    day: dict[str, Any] = {"hours": len(averages)}
    if averages:
        day |= {"average": round(sum(averages) / len(averages), 1), "maximum": max(maxima)}
    body = {"version": 1, "region": region, "day": day, "hours": told}
    return read_summary(json.dumps(body).encode())


def answer(found: list[Sample]) -> bytes:
    """What a store answers that was given these."""
    series: defaultdict[tuple[tuple[str, str], ...], list[list[Any]]] = defaultdict(list)
    for each in found:
        series[each.labels].append([each.at, str(each.value)])
    result = [{"metric": dict(labels), "values": values} for labels, values in series.items()]
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}}
    ).encode()


@given(st.dictionaries(st.integers(0, 23), hour, min_size=1), st.data())
def test_what_is_read_back_is_what_was_told(hours: dict[int, Any], data: st.DataObject) -> None:
    mine = summary(hours)
    found = samples("http://a", mine, starts(mine).keys())
    again = history(rows(answer(data.draw(st.permutations(found)))))
    assert again.summaries == {"http://a": mine}


def test_only_hours_that_are_asked_for_are_written() -> None:
    mine = summary({0: {}, 1: {}})
    assert {each.at for each in samples("a", mine, {MIDNIGHT})} == {MIDNIGHT}


def test_how_many_were_asked_is_the_most_of_the_day_or_not_known() -> None:
    assert history(rows(answer([asked(3, MIDNIGHT), asked(5, MIDNIGHT + 3600)]))).asked == 5
    assert history([]).asked is None


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        ({"figure": "average"}, "7"),
        ({"region": "UPPER"}, "1"),
        ({"region": "eu-west"}, "NaN"),
        ({}, "1e400"),
    ],
)
def test_what_somebody_else_wrote_is_no_summary(labels: dict[str, str], value: str) -> None:
    name = "own_streams" if "figure" in labels else "told"
    metric = {"__name__": f"mediafleet_community_hour_{name}", "operator": "a", **labels}
    assert history([Row(metric=metric, values=[(MIDNIGHT, value)])]).summaries == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"status": "error", "error": "x"}',
        b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
    ],
)
def test_another_answer_is_refused(body: bytes) -> None:
    with pytest.raises(NoHistoryError, match="store's answer"):
        rows(body)


def test_a_table_has_a_row_for_each_day_and_region_and_nothing_where_nothing_was_told() -> None:
    yesterday, today = MIDNIGHT - 3600, MIDNIGHT
    told = [Row(metric={"region": "eu"}, values=[(yesterday, "2"), (today, "1")])]
    streams = [
        Row(metric={"region": "eu", "figure": "average"}, values=[(yesterday, "30")]),
        Row(metric={"region": "eu", "figure": "maximum"}, values=[(yesterday, "45")]),
    ]
    assert table(told, streams) == [
        DayRow("2026-11-29", "eu", 1, 1, None, None),
        DayRow("2026-11-28", "eu", 2, 1, 30.0, 45),
    ]


def test_names_of_operators_are_quoted_in_queries() -> None:
    assert r'operator="a\"b\\"' in of_operator('a"b\\')
    assert 'operator!~"a\\\\.b|c"' in own_streams(["c", "a.b"])
    assert "operator" not in own_streams([])


@pytest.mark.parametrize(
    ("url", "write", "query", "delete"),
    [
        ("http://h:8428/", "http://h:8428", "http://h:8428", "http://h:8428"),
        *(
            (
                f"https://h/x/{what}/7:1/prometheus",
                "https://h/x/insert/7:1/prometheus",
                "https://h/x/select/7:1/prometheus",
                "https://h/x/delete/7:1/prometheus",
            )
            for what in ("insert", "select")
        ),
    ],
)
def test_the_tenant_of_a_cluster_stands_in_each_path(
    url: str, write: str, query: str, delete: str
) -> None:
    assert Paths.of(url) == Paths(
        f"{write}/api/v1/write",
        f"{query}/api/v1/query_range",
        f"{delete}/api/v1/admin/tsdb/delete_series",
    )
