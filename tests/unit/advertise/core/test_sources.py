"""Nodes in other places: what is merged, what is not, and what a file may say of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.formats.reach import OWN_WORD, PUBLIC, Reach
from mediafleet_scheduler.core.advertise.sources import (
    MAX_NODES,
    NotAListError,
    ReadList,
    addresses,
    current,
    merged,
)
from mediafleet_scheduler.core.advertise.views import Node, PoolView, Reaches, Source
from mediafleet_scheduler.directory.entries import pool_view
from mediafleet_scheduler.directory.entries_file import NodesFile


def source(name: str = "eu", *urls: str, stale: float = 60.0, weight: float = 1.0) -> Source:
    return Source(name, urls, "http://list", weight, stale, None, None)


def view(*nodes: Node, sources: tuple[Source, ...] = ()) -> PoolView:
    return PoolView("ns", "pool", Advertise(), nodes, sources=sources)


def own(name: str, state: PodState = PodState.READY) -> Node:
    return Node(name, name, f"https://{name}:1", None, state)


@pytest.mark.parametrize(
    ("url", "from_elsewhere", "from_here"),
    [
        ("https://node.example:8935", True, True),
        ("https://10.1.2.3:8935", True, True),
        ("https://127.0.0.1:7935", False, True),
        ("https://localhost:7935", False, True),
        ("https://[::ffff:127.0.0.1]:1", False, True),
        ("https://169.254.169.254:80", False, False),
        ("https://0.0.0.0:1", False, False),
        ("https://224.0.0.1:1", False, False),
        ("https://2852039166:80", False, False),
        ("https://169.254.43518:80", False, False),
        ("https://0:1", False, False),
        ("https://127.1:7935", False, True),
        ("https://0x7f000001:7935", False, True),
        ("https://127.0.0.1.:7935", False, True),
        ("https://localhost.:7935", False, True),
        ("https://1.example:8935", True, True),
        ("https://[::1", True, True),
    ],
)
def test_a_list_from_elsewhere_does_not_have_us_dial_what_stands_beside_us(
    url: str, from_elsewhere: bool, from_here: bool
) -> None:
    body = json.dumps([{"address": url}]).encode()
    assert bool(addresses(body)[0]) is from_elsewhere
    assert bool(addresses(body, near=True)[0]) is from_here


def test_what_sources_tell_comes_after_our_own_with_its_weight() -> None:
    sources = (source("eu", weight=2.0), source("us"))
    found = merged(
        view(own("a"), sources=sources),
        {"eu": ("https://b:1", "https://c:1"), "us": ("https://d:1",)},
        None,
        100.0,
    )
    assert [(node.url, node.source, node.weight) for node in found.nodes] == [
        ("https://a:1", None, 1.0),
        ("https://b:1", "eu", 2.0),
        ("https://c:1", "eu", 2.0),
        ("https://d:1", "us", 1.0),
    ]


@pytest.mark.parametrize("state", PodState)
def test_a_source_never_brings_back_one_of_our_own_whatever_it_is(state: PodState) -> None:
    before = view(own("a", state), sources=(source(),))
    for url in ("https://a:1", "https://A:1", "https://a:1/"):
        assert merged(before, {"eu": (url,)}, None, 0.0).nodes == before.nodes


def test_a_source_never_brings_back_a_draining_node_under_another_spelling() -> None:
    draining = replace(own("v6", PodState.DRAINING), url="https://[::1]:18007")
    before = view(draining, sources=(source(),))
    told = {"eu": ("https://[0:0:0:0:0:0:0:1]:18007/",)}
    assert merged(before, told, None, 0.0).nodes == before.nodes


def test_who_tells_twice_is_heard_once_and_only_so_many() -> None:
    many = tuple(f"https://h{number}:1" for number in range(MAX_NODES + 5))
    base = view(sources=(source(),))
    assert len(merged(base, {"eu": ("https://b:1",) * 3}, None, 0.0).nodes) == 1
    assert len(merged(base, {"eu": many}, None, 0.0).nodes) == MAX_NODES


def test_a_node_that_a_source_adds_is_new_as_of_now_and_later_keeps_that() -> None:
    base = view(sources=(source(),))
    first = merged(base, {"eu": ("https://b:1",)}, None, 10.0)
    second = merged(base, {"eu": ("https://b:1", "https://c:1")}, first, 20.0)
    third = merged(base, {"eu": ("https://b:1", "https://c:1")}, second, 30.0)
    assert [node.changed_at for node in second.nodes] == [None, 20.0]
    assert third == second


def test_a_last_list_stays_for_so_long_and_fixed_urls_for_ever() -> None:
    one = source("eu", "https://fixed:1", stale=60)
    told = ReadList(("https://b:1",), at=100.0)
    assert current(one, None, 0.0) == ("https://fixed:1",)
    assert current(one, told, 160.0) == ("https://fixed:1", "https://b:1")
    assert current(one, told, 160.1) == ("https://fixed:1",)


def test_entries_without_an_address_cost_only_themselves() -> None:
    body = b'[{"address": "https://a:1", "score": 1}, {"score": 1}, 7, null, {"address": ["x"]}]'
    assert addresses(body) == (("https://a:1",), 4)


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 100_000, b"\xff", b'"text"'])
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(NotAListError, match="JSON"):
        addresses(body)


@given(st.binary(max_size=60) | st.text('[]{}",:0address ', max_size=60).map(str.encode))
def test_any_answer_is_a_list_or_refused(body: bytes) -> None:
    try:
        urls, _ = addresses(body)
    except NotAListError:
        return
    assert all(urls)


def file(**entry: object) -> NodesFile:
    return NodesFile.model_validate({"nodes": [], "advertise": {"sources": [entry]}})


def test_what_a_file_says_of_a_source() -> None:
    told = file(
        name="eu",
        urls=["https://h:1"],
        list_url="https://list/orchestrators",
        weight=3,
        stale_after="1m30s",
        token_file="/t",
        ca_file="/c",
    )
    (found,) = pool_view(told, None, 0.0).sources
    assert found == Source(
        "eu", ("https://h:1",), "https://list/orchestrators", 3.0, 90.0, "/t", "/c"
    )


BAD: dict[str, tuple[dict[str, object], str]] = {
    "nothing told": ({"name": "eu"}, "give urls, or list_url"),
    "a token in the clear": (
        {"name": "eu", "list_url": "http://list", "token_file": "/t"},
        "over https only",
    ),
    "no URL": ({"name": "eu", "list_url": "list"}, "write an http or https URL"),
    "no name for a label": ({"name": "E U", "urls": ["https://h:1"]}, "lower-case letters"),
    "no weight": ({"name": "eu", "urls": ["https://h:1"], "weight": 0}, "greater than 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_asks_for_trouble_is_refused(name: str) -> None:
    entry, why = BAD[name]
    with pytest.raises(ValidationError, match=why):
        file(**entry)


def test_two_sources_of_one_name_are_refused() -> None:
    entry = {"name": "eu", "urls": ["https://h:1"]}
    with pytest.raises(ValidationError, match="two entries have name eu"):
        NodesFile.model_validate({"nodes": [], "advertise": {"sources": [entry, entry]}})


def test_what_a_list_tells_reaches_less_than_what_stands_in_the_users_own_file() -> None:
    near, far = "http://127.0.0.1:8080/orchestrators", "https://far.example/orchestrators"
    sources = tuple(
        Source(name, ("https://10.0.0.1:1",), url, 1.0, 60.0, None, None)
        for name, url in (("far", far), ("near", near))
    )
    own_file = replace(view(sources=sources), reaches=Reaches(OWN_WORD, OWN_WORD, PUBLIC))
    told = dict.fromkeys(("far", "near"), ("https://10.0.0.1:1", "https://b:1"))
    found = {node.name: node.reach for node in merged(own_file, told, None, 0.0).nodes}
    assert found == {
        "far/https://10.0.0.1:1": OWN_WORD,
        "far/https://b:1": PUBLIC,
        "near/https://10.0.0.1:1": OWN_WORD,
        "near/https://b:1": Reach(loopback=True),
    }
    of_a_tenant = replace(own_file, reaches=Reaches())
    assert {node.reach for node in merged(of_a_tenant, told, None, 0.0).nodes} == {PUBLIC}
