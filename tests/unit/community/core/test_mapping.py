"""The view of the world map: the last day, sums alone, cells alone."""

from __future__ import annotations

import json
from typing import Any

from mediafleet_scheduler.core.community.cells import WORLD, country, grid
from mediafleet_scheduler.core.community.collecting import Summary, read_summary
from mediafleet_scheduler.core.community.mapping import HOURS, world_view
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord
from mediafleet_scheduler.core.community.rendering import Shared, as_json

HOUR = 1_795_900_000 // 3600 * 3600
NOW = HOUR + 3600 + 1.0


def told(*hours: HourRecord) -> Summary:
    """What an operator answers."""
    return read_summary(json.dumps(as_json(Shared("eu-west", None, hours))).encode())


def hour(start: int, *cells: tuple[str, ...]) -> HourRecord:
    """One in which three to five gateways ask from each cell."""
    return HourRecord(start, 3, {cell: Figures(15, 20, None, (3, 5)) for cell in cells}, ())


def groups(view: dict[str, Any], index: int) -> dict[str, Any]:
    return {each["origin"]: each for each in view["hours"][index]["groups"]}


def test_each_hour_sums_those_who_told_it_and_a_bin_has_its_corner() -> None:
    berlin = grid(52.5, 13.4)
    view = world_view([told(hour(HOUR, berlin, WORLD)), told(hour(HOUR, berlin))], 3, NOW)
    assert (view["shared"], view["unknown"]) == (2, 3)
    (day, world) = view["days"]
    assert (day["average"], day["maximum"], day["south"]) == (30.0, 40, 50)
    assert (world["origin"], world["operators"], world["size"]) == ("world", 1, None)
    newest = groups(view, -1)
    bin_ = newest[berlin[-1]]
    assert (bin_["streams"], bin_["asking"], bin_["operators"]) == (30, (3, 10), 2)
    assert (bin_["size"], bin_["south"], bin_["west"]) == (5, 50, 10)
    assert (newest["world"]["operators"], newest["world"]["size"]) == (1, None)


def test_the_view_is_the_last_day_of_hours_that_are_over() -> None:
    old, newest, future = HOUR - HOURS * 3600, HOUR, HOUR + 3600
    view = world_view([told(*(hour(at, WORLD) for at in (old, newest, future)))], 0, NOW)
    assert len(view["hours"]) == HOURS
    assert [each["operators"] for each in view["hours"]] == [0] * (HOURS - 1) + [1]


def test_a_claim_that_names_no_cell_is_left_out() -> None:
    claim = json.loads(json.dumps(as_json(Shared("eu", None, [hour(HOUR, country("de"))]))))
    claim["hours"][0]["groups"].update({"05+51+010": {"average": 5}, "10 0 0 1": {}})
    view = world_view([read_summary(json.dumps(claim).encode())], 0, NOW)
    assert groups(view, -1).keys() == {"country DE"}
    assert [each["origin"] for each in view["days"]] == ["country DE"]
