"""What is on disk: what was told, for 8 weeks, whole or not at all, and gone once one leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.kit.community import MIDNIGHT, PEERS, Time, an_hour, reporter

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.cells import WORLD, country
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import as_json
from mediafleet_scheduler.core.community.stored import KEPT_DAYS, as_stored

DAY = "2026-11-29"
HOUR = HourRecord(
    int(MIDNIGHT), 3, {WORLD: Figures(asking=(3, 5))}, (None,) * 12, OwnFigures(10, 15)
)


def test_a_restart_tells_what_was_told_and_what_was_open_is_lost(tmp_path: Path) -> None:
    time = Time()
    before = reporter(time, state=State(tmp_path))
    an_hour(time, before, PEERS)
    told = as_json(before.shared)["hours"]
    time.now += 2 * 3600 + 1800
    after = reporter(time, state=State(tmp_path))
    assert as_json(after.shared)["hours"] == told
    time.now += 1800
    after.look()
    starts = [hour["start"] for hour in as_json(after.shared)["hours"]]
    assert [each[11:13] for each in starts] == ["00", "03"]


def test_an_hour_is_told_once_though_the_clock_is_set_back(tmp_path: Path) -> None:
    time = Time()
    before = reporter(time, state=State(tmp_path))
    an_hour(time, before, PEERS)
    told = as_json(before.shared)["hours"]
    time.now = MIDNIGHT
    after = reporter(time, state=State(tmp_path))
    an_hour(time, after, PEERS[:3])
    assert as_json(after.shared)["hours"] == told


def test_nothing_of_a_source_is_on_disk_or_in_the_status(tmp_path: Path) -> None:
    time = Time()
    mine = reporter(time, state=State(tmp_path))
    gateways: list[str | None] = ["0x" + "ab" * 20, None, None, None, None]
    an_hour(time, mine, PEERS, gateways)
    told = b"".join(as_stored([each]) for each in mine.shared.hours)
    files = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    day = files.pop("groups.json")
    assert json.loads(day) == {"day": DAY, "k": 3, "groups": ["world"]}
    assert files == {f"{DAY}.jsonl": told}
    status = json.dumps(Pages(mine).status())
    assert not any(each in status for each in [*PEERS, "ab" * 20])


def test_the_groups_of_the_day_outlive_a_restart(tmp_path: Path) -> None:
    state, germany = State(tmp_path), country("de")
    groups = Groups(frozenset({WORLD, germany}))
    state.keep_groups(groups, MIDNIGHT, 3)
    assert State(tmp_path).groups(MIDNIGHT + 86_399, 3) == groups
    assert State(tmp_path).groups(MIDNIGHT + 86_400, 3) is None
    assert State(tmp_path).groups(MIDNIGHT, 4) is None


def test_eight_weeks_are_kept(tmp_path: Path) -> None:
    state = State(tmp_path)
    for day in range(KEPT_DAYS + 10):
        start = int(MIDNIGHT) + day * 86_400
        state.keep([HourRecord(start, 3, {}, (None,) * 12, OwnFigures(5, 5))], start)
    assert len(state.days()) == KEPT_DAYS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"not json\n",
        b'{"start": "2026-11-29T00:00:00Z", "k": 3, "groups": {"10.0.0.1": {}}}\n',
        b'{"start": "2026-99-29T00:00:00Z", "k": 3, "groups": {}}\n',
        as_stored([HOUR])[:-20],
        as_stored([HOUR] * 25),
    ],
)
def test_a_broken_file_is_a_gap_and_stops_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{DAY}.jsonl").write_bytes(content)
    (tmp_path / "groups.json").write_bytes(content)
    time = Time(MIDNIGHT + 1800)
    mine = reporter(time, state=State(tmp_path))
    assert as_json(mine.shared)["hours"] == []
    time.now += 3600
    assert mine.look()
    mine.keep()
    assert len(State(tmp_path).day(DAY)) == 1


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path)
    state.keep([HOUR], MIDNIGHT)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    later = HourRecord(HOUR.start + 3600, 3, {}, (None,) * 12)
    state.keep([HOUR, later], MIDNIGHT)
    assert state.complaint == "No space left on device"
    monkeypatch.undo()
    assert State(tmp_path).day(DAY) == [HOUR]
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"{DAY}.jsonl"]


async def test_who_leaves_tells_and_keeps_nothing_at_once(tmp_path: Path) -> None:
    time = Time()
    mine = reporter(time, state=State(tmp_path))
    an_hour(time, mine, PEERS)
    app = web.Application()
    app.add_routes(Pages(mine).routes())
    async with TestClient(TestServer(app)) as client:
        kept = await client.get(f"/summary/{DAY}")
        assert (await kept.json())["hours"] == as_json(mine.shared)["hours"]
        assert (await client.get("/summary/2026-01-01")).status == 404
        assert State(tmp_path).leave() == 1
        for path in ("/summary", f"/summary/{DAY}", "/metrics/community"):
            answer = await client.get(path)
            assert (answer.status, await answer.json()) == (410, {"left": True, "version": 1})


def test_who_has_left_counts_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    time = Time()
    mine = reporter(time, state=State(tmp_path))
    an_hour(time, mine, PEERS)
    State(tmp_path).leave()
    assert [each.name for each in tmp_path.iterdir()] == ["left"]
    again = reporter(time, state=State(tmp_path))
    an_hour(time, again, PEERS)
    assert again.left
    assert as_json(again.shared)["hours"] == []


async def test_the_status_counts_what_was_read(tmp_path: Path) -> None:
    time = Time()
    mine = reporter(time, state=State(tmp_path))
    an_hour(time, mine, PEERS)
    pages = Pages(mine)
    app = web.Application()
    app.add_routes([*pages.routes(), pages.status_route()])
    async with TestClient(TestServer(app)) as client:
        await client.get("/summary")
        await client.get("/summary")
        status = await (await client.get("/community/status")).json()
    assert status == {
        "version": 1,
        "region": "eu-west",
        "shares": ["ownStreams", "gatewaysByOrigin"],
        "left": False,
        "deletions": [],
        "reads": {"summary": {"times": 2, "last": f"{DAY}T01:00:00Z"}},
        "hours": {"published": 1, "newest": f"{DAY}T00:00:00Z"},
        "days": [DAY],
        "originsUnknown": None,
        "workUntold": [],
        "notWritten": None,
    }


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStartError, match="--community-state"):
        State(tmp_path / "file")
