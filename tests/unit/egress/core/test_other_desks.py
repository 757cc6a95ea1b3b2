"""Desks on one Redis that do not belong together are noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.kit.egress.scene import fleet

from mediafleet_scheduler.core.egress.other_desks import (
    EVERY_SECONDS,
    FORGOTTEN_AFTER_SECONDS,
    IN_A_ROW,
    Announcement,
    OtherDesks,
    announcement,
    from_bytes,
    to_bytes,
)

NOW = 1_000_000.0
MINE = announcement("mine", 0, [fleet("w1", "w2")])


def heard(*said: Announcement) -> list[str]:
    others = OtherDesks()
    now = NOW
    for each in said:
        now += EVERY_SECONDS
        others.hear(each, MINE, now)
    return others.complaints(MINE, now)


def test_another_desk_with_the_same_file_belongs_here() -> None:
    same = announcement("other", 0, [fleet("w2", "w1")])
    assert heard(*[same] * IN_A_ROW) == []
    assert heard(*[replace(same, desk="mine", serves="x")] * IN_A_ROW) == [], "it is this one"


def test_one_with_another_file_does_not_once_it_goes_on_saying_so() -> None:
    odd = announcement("other", 0, [fleet("w1")])
    assert heard(*[odd] * (IN_A_ROW - 1)) == [], "one of the two may read the file later"
    (said,) = heard(*[odd] * IN_A_ROW)
    assert "same --workers file" in said
    assert "rec" in said
    same = announcement("other", 0, [fleet("w2", "w1")])
    assert heard(*[odd] * IN_A_ROW, same) == []
    assert heard(odd, same, *[odd] * (IN_A_ROW - 1)) == [], "not in a row"


def test_a_ledger_in_another_db_is_said_at_once_since_pub_sub_ignores_it() -> None:
    (said,) = heard(replace(MINE, desk="other", db=1))
    assert "db 1" in said
    assert "db 0" in said
    assert "a Redis of its own" in said


def test_workers_of_a_cluster_come_and_go_and_its_fleets_are_told_apart_by_uid() -> None:
    one = replace(fleet("w1"), namespace="live", uid="u1")
    more = replace(fleet("w1", "w2"), namespace="live", uid="u1")
    other = replace(fleet("w1"), namespace="live", uid="u2")
    assert announcement("a", 0, [one]).serves == announcement("a", 0, [more]).serves
    assert announcement("a", 0, [one]).serves != announcement("a", 0, [other]).serves


def test_one_that_is_gone_is_forgotten() -> None:
    others = OtherDesks()
    others.hear(replace(MINE, desk="other", db=1), MINE, NOW)
    assert others.complaints(MINE, NOW + FORGOTTEN_AFTER_SECONDS)
    assert others.complaints(MINE, NOW + FORGOTTEN_AFTER_SECONDS + 1) == []


def test_an_announcement_comes_back_from_the_bus() -> None:
    assert from_bytes(to_bytes(MINE)) == MINE


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"\xff", b"x" * 5000, b'{"desk":1,"db":"a","serves":1,"fleets":[]}']
)
def test_what_makes_no_sense_is_passed_over(data: bytes) -> None:
    assert from_bytes(data) is None
