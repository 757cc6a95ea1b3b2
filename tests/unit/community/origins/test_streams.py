"""Streams by address, as a door and a node tell them."""

from __future__ import annotations

from mediafleet_scheduler.core.community.origins.streams import (
    at_door,
    by_client_ip,
    pixels_by_stream,
)

ONE, OTHER = "203.0.114.7", "198.51.101.3"


def test_a_stream_that_a_door_has_seen_twice_is_one() -> None:
    keys = [f"{ONE}|AA", f"{ONE}|BB", f"{OTHER}|AA", f"{ONE}|AA"]
    assert at_door(keys) == {ONE: 2, OTHER: 1}


def test_a_key_without_an_address_or_a_stream_is_none() -> None:
    assert at_door(["", "|", "|AA", f"{ONE}|", ONE]) == {}


def test_a_series_without_an_address_says_nothing_and_others_are_added_up() -> None:
    series = [
        ({"client_ip": ONE, "manifest_id": "m"}, 2.0),
        ({"client_ip": ONE, "manifest_id": "m", "node_type": "orch"}, 3.0),
        ({"client_ip": OTHER}, 4.0),
        ({"client_ip": ""}, 5.0),
        ({"manifest_id": "m"}, 6.0),
    ]
    assert pixels_by_stream(series) == {(ONE, "m"): 5.0, (OTHER, ""): 4.0}


def test_streams_are_those_that_were_worked_on_since() -> None:
    before = {(ONE, "a"): 5.0, (ONE, "b"): 5.0, (OTHER, "c"): 9.0}
    now = {(ONE, "a"): 5.5, (ONE, "b"): 5.0, (OTHER, "c"): 9.0, (ONE, "d"): 0.1, (OTHER, "e"): 0.0}
    assert by_client_ip(before, now) == {ONE: 2}


def test_a_node_that_has_started_anew_counts_from_nothing() -> None:
    assert by_client_ip({(ONE, "a"): 5.0}, {(ONE, "a"): 1.0}) == {ONE: 1}
    assert by_client_ip({(ONE, "a"): 5.0}, {(ONE, "a"): 0.0}) == {}
