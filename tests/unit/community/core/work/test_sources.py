"""Whose work it is: a room, a network, and one source for all that is not known."""

from __future__ import annotations

from ipaddress import ip_network

from mediafleet_scheduler.core.community.origins.streams import pixel_rates
from mediafleet_scheduler.core.community.work.kinds import Family, Kind, Work
from mediafleet_scheduler.core.community.work.sources import (
    ai_work,
    egress_work,
    pixel_work,
)

ONE, SAME, OTHER, PRIVATE = "203.0.114.7", "203.0.114.9", "198.51.101.3", "10.0.0.9"


def named(source: str) -> str:
    return f"<{source}>"


def test_a_room_is_one_source_and_jobs_without_a_room_are_one_together() -> None:
    web = [("demo", "web", 720), ("demo", "web", 700), ("", "web", 720), ("", "web", 720)]
    jobs = [*web, ("demo", "track", None), ("demo", "web", 1080)]

    def work(source: str, kind: str, lines: str, count: int) -> Work:
        cells = {Kind.EGRESS_BY_TYPE: kind, Kind.EGRESS_BY_RESOLUTION: lines}
        return Work(source, Family.EGRESS, count, cells)

    assert egress_work(jobs, named) == [
        work("<room demo>", "track", "all", 1),
        work("<room demo>", "web", "1080p", 1),
        work("<room demo>", "web", "720p", 2),
        work("<unknown>", "web", "720p", 2),
    ]


def test_a_room_that_is_called_unknown_is_a_room() -> None:
    (work,) = egress_work([("unknown", "web", 720)], named)
    assert work.source == "<room unknown>"


def test_tasks_are_of_the_network_of_who_called_and_by_pipeline_and_model() -> None:
    tasks = [(each, "llm", "m/a") for each in (ONE, SAME, OTHER, PRIVATE, None)]
    cells = {Kind.AI_BY_TYPE: "llm", Kind.AI_BY_MODEL: "m/a"}
    assert ai_work(tasks, named) == [
        Work("<198.51.101.0/24>", Family.AI, 1, cells),
        Work("<203.0.114.0/24>", Family.AI, 2, cells),
        Work("<unknown>", Family.AI, 2, cells),
    ]


def test_a_network_of_the_operators_own_is_no_source() -> None:
    own = [ip_network("203.0.114.0/24")]
    assert [each.source for each in ai_work([(ONE, "llm", "m")], named, own)] == ["<unknown>"]
    assert [each.source for each in pixel_work({ONE: 2.0}, named, own)] == ["<unknown>"]


def test_pixels_are_of_the_network_that_the_stream_comes_from() -> None:
    assert pixel_work({ONE: 20.5, OTHER: 3.0}, named) == [
        Work("<198.51.101.0/24>", Family.PIXELS, 3.0),
        Work("<203.0.114.0/24>", Family.PIXELS, 20.5),
    ]


def test_pixels_a_second_are_what_was_added_between_two_readings() -> None:
    before = {(ONE, "a"): 100.0, (ONE, "b"): 50.0, (OTHER, "c"): 70.0}
    now = {(ONE, "a"): 130.0, (ONE, "b"): 65.0, (OTHER, "c"): 70.0, (SAME, "d"): 30.0}
    assert pixel_rates(before, now, 15) == {ONE: 3.0, SAME: 2.0}


def test_a_counter_that_fell_is_of_a_node_that_has_started_anew() -> None:
    assert pixel_rates({(ONE, "a"): 100.0}, {(ONE, "a"): 15.0}, 15) == {ONE: 1.0}
