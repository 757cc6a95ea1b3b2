"""Leaving by the file: nothing is told, and collectors are asked until each has deleted."""

from __future__ import annotations

from pathlib import Path

from tests.kit.community import PEERS, Time, an_hour

from mediafleet_common.api.community import Community, Leave
from mediafleet_common.reports.community import CommunityReport
from mediafleet_scheduler.community.leaving import Leaving
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.state import State

LEAVE = Leave(target="https://me.example", collectors=["https://a.example", "https://b.example"])


class Collectors:
    """Answer as the test says."""

    def __init__(self) -> None:
        self.deletes = {"https://a.example": True, "https://b.example": False}
        self.asked: list[tuple[str, str]] = []

    async def ask(self, collector: str, target: str) -> tuple[bool, str]:
        self.asked.append((collector, target))
        done = self.deletes[collector]
        return done, "200: deleted" if done else "409: it still shares"


def reporter(time: Time, state: State | None, leave: Leave | None) -> Reporter:
    community = Community(region="eu-west", leave=leave)
    return Reporter(community, lambda: 12, clock=time.clock, state=state)


async def test_each_collector_is_asked_once_a_minute_until_it_has_deleted() -> None:
    time, them = Time(), Collectors()
    leaving = Leaving(LEAVE, None, time.clock, them.ask)
    for _ in range(4):
        await leaving.look()
        time.now += 30
    assert [each for each, _ in them.asked].count("https://a.example") == 1
    assert [each for each, _ in them.asked].count("https://b.example") == 2
    them.deletes["https://b.example"] = True
    await leaving.look()
    time.now += 3600
    await leaving.look()
    assert len(them.asked) == 4
    assert [each.confirmed for each in leaving.deletions] == [True, True]


async def test_what_they_answered_outlives_a_restart(tmp_path: Path) -> None:
    time, them = Time(), Collectors()
    await Leaving(LEAVE, State(tmp_path), time.clock, them.ask).look()
    again = reporter(time, State(tmp_path), LEAVE)
    assert again.left
    report = CommunityReport.model_validate(Pages(again).status())
    assert [(each.confirmed, each.answer) for each in report.deletions] == [
        (True, "200: deleted"),
        (False, "409: it still shares"),
    ]


async def test_nobody_is_asked_who_knows_no_name_for_us() -> None:
    them = Collectors()
    await Leaving(Leave(collectors=LEAVE.collectors), None, Time().clock, them.ask).look()
    assert them.asked == []


def test_leaving_deletes_what_is_kept_and_counts_no_more(tmp_path: Path) -> None:
    time, state = Time(), State(tmp_path)
    mine = reporter(time, state, None)
    an_hour(time, mine, PEERS)
    assert state.days()
    gone = reporter(time, State(tmp_path), LEAVE)
    assert gone.left
    assert State(tmp_path).days() == []
    assert not gone.look()


def test_a_file_without_the_word_is_back_and_a_command_stays(tmp_path: Path) -> None:
    time = Time()
    assert reporter(time, State(tmp_path), LEAVE).left
    assert not reporter(time, State(tmp_path), None).left
    State(tmp_path).leave()
    assert reporter(time, State(tmp_path), None).left


def test_without_a_folder_the_file_alone_counts() -> None:
    assert reporter(Time(), None, LEAVE).left
    assert not reporter(Time(), None, None).left
