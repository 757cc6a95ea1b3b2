"""The list of orchestrators on-chain, in each form that is about."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.community.members.chain import (
    MOST,
    NoListError,
    Orchestrator,
    read_orchestrators,
)

ID = "0x" + "ab" * 20
A = Orchestrator("https://a.example.com:8935", bytes.fromhex("ab" * 20))


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (["https://A.example.com:8935"], [Orchestrator(A.url)]),
        ([{"serviceURI": "https://a.example.com:8935/", "id": ID}], [A]),
        ({"data": {"transcoders": [{"serviceURI": A.url, "id": ID}]}}, [A]),
        ({"transcoders": [{"serviceURI": A.url, "id": "0xzz" + "ab" * 19}]}, [Orchestrator(A.url)]),
        ([{"address": A.url, "score": 1}], [Orchestrator(A.url)]),
        ([A.url, {"serviceURI": A.url, "id": ID}], [A]),
        ([{"serviceURI": None, "id": ID}, {"id": ID}, "", 7, None], []),
        (
            [{"serviceURI": A.url, "id": ID[:-2]}, {"serviceURI": A.url, "id": 7}],
            [Orchestrator(A.url)],
        ),
        ([], []),
    ],
)
def test_a_list_is_read_once_for_each_url(told: Any, found: list[Orchestrator]) -> None:
    assert read_orchestrators(json.dumps(told).encode()) == found


def test_a_uri_that_cannot_be_asked_stays_with_its_reason() -> None:
    (ftp, long) = read_orchestrators(json.dumps(["ftp://a", "https://" + "a" * 400]).encode())
    assert (ftp.url, ftp.refusal) == ("ftp://a", "it must begin with https://")
    assert long.refusal
    assert len(long.url) == 100


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"a": 1}', "list of service URIs"),
        (b'"https://a"', "list of service URIs"),
        (json.dumps(["https://a"] * (MOST + 1)).encode(), f"more than {MOST}"),
    ],
)
def test_what_is_no_list_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(NoListError, match=why):
        read_orchestrators(body)


def test_a_list_may_be_as_long_as_the_bound() -> None:
    urls = [f"https://a{number}.example.com:8935" for number in range(MOST)]
    assert len(read_orchestrators(json.dumps(urls).encode())) == MOST


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["data", "transcoders", "serviceURI", "address", "id"]), x
            )
        ),
    )
)
def test_any_json_is_a_list_or_is_refused(told: Any) -> None:
    try:
        found = read_orchestrators(json.dumps(told).encode())
    except NoListError:
        return
    assert all(each.refusal or each.url.startswith(("https://", "http://")) for each in found)
