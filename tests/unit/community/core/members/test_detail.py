"""Who may see detail: by a signature over a message of the collector, and for what they share."""

from __future__ import annotations

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats import eth
from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.core.community.collecting import Summary
from mediafleet_scheduler.core.community.members.detail import (
    ACCEPTED_WITHIN_SECONDS,
    MOST_MESSAGE_CHARACTERS,
    SIGN_WITHIN_SECONDS,
    Member,
    NotAllowedError,
    challenge,
    check_shares,
    detail,
    members_of,
    signer,
)

NOW = 1_795_900_000.0
SECRET = b"s" * 32
KEY = PrivateKey(b"\x07" * 32)
ADDRESS = eth.address_of(KEY.public_key)
HOST = "community.example.com"
MESSAGE = challenge(HOST, SECRET, NOW)


def signature(message: str = MESSAGE, key: PrivateKey = KEY) -> str:
    return "0x" + eth.sign_personal(key, message.encode()).hex()


def test_a_signature_of_another_wallet_is_recovered_as_its_makers_say() -> None:
    """The example of eth-account's documentation (ethereum/eth-account, recover_message)."""
    message = "I♥SF".encode()
    signed = bytes.fromhex(
        "e6ca9bba58c88611fad66a6ce8f996908195593807c4b38bd528d2cff09d4eb3"
        "3e5bfbbf4d3e39b1a2fd816a7680c19ebebaf3a141b239934ad43cb33fcec8ce1c"
    )
    address = eth.recovered(eth.personal(message), signed)
    assert address is not None
    assert eth.checksummed(address) == "0x5ce9454909639D2D17A3F753ce7d93fa0b9aB12E"


def test_who_signs_the_message_in_time_is_known_by_their_address() -> None:
    for later in (0.0, SIGN_WITHIN_SECONDS - 1):
        assert signer(HOST, SECRET, NOW + later, MESSAGE, signature()) == ADDRESS
    assert signer(HOST, SECRET, NOW, MESSAGE, signature().removeprefix("0x")) == ADDRESS


def test_the_message_says_where_and_until_when() -> None:
    assert MESSAGE.splitlines()[:2] == [
        f"Sign in at {HOST} to see what each operator shares.",
        f"Good until {rfc3339(NOW + SIGN_WITHIN_SECONDS)}",
    ]
    assert MESSAGE.splitlines()[2].startswith("Mark ")


@pytest.mark.parametrize(
    ("message", "now", "host"),
    [
        (MESSAGE, NOW + SIGN_WITHIN_SECONDS + 1, HOST),
        (MESSAGE, NOW - 1, HOST),
        (MESSAGE, NOW, "other.example.com"),
        (challenge(HOST, b"t" * 32, NOW), NOW, HOST),
        (MESSAGE + " ", NOW, HOST),
        (MESSAGE.replace("Good until 2026", "Good until 2027"), NOW, HOST),
        (MESSAGE + "\n" + "x" * MOST_MESSAGE_CHARACTERS, NOW, HOST),
        ("", NOW, HOST),
    ],
)
def test_a_message_of_another_collector_or_another_time_signs_nobody_in(
    message: str, now: float, host: str
) -> None:
    with pytest.raises(NotAllowedError, match="ask for another"):
        signer(host, SECRET, now, message, signature(message))


@given(st.text(alphabet="0123456789abcdefx", max_size=140))
def test_what_is_no_signature_signs_nobody_in(text: str) -> None:
    with pytest.raises(NotAllowedError, match="signature is none"):
        signer(HOST, SECRET, NOW, MESSAGE, text)


def test_another_text_signed_is_another_address() -> None:
    assert signer(HOST, SECRET, NOW, MESSAGE, signature("another")) != ADDRESS


def test_operators_are_found_by_their_address_on_the_list() -> None:
    members = [Member("a", None, ADDRESS), Member("b", 1.0), Member("c", 2.0, ADDRESS)]
    assert members_of(ADDRESS, members) == ["a", "c"]
    with pytest.raises(NotAllowedError, match="0x0000000000000000000000000000000000000000"):
        members_of(b"\x00" * 20, members)


@pytest.mark.parametrize(
    ("accepted_at", "allowed"),
    [
        (NOW, True),
        (NOW - ACCEPTED_WITHIN_SECONDS + 1, True),
        (NOW - ACCEPTED_WITHIN_SECONDS, False),
        (None, False),
    ],
)
def test_detail_is_for_who_shared_within_a_day(accepted_at: float | None, allowed: bool) -> None:
    members = [Member("other", NOW), Member("mine", accepted_at)]
    if allowed:
        check_shares(["mine"], members, NOW)
        check_shares(["none", "mine"], members, NOW)
    else:
        with pytest.raises(NotAllowedError, match="no report of yours"):
            check_shares(["mine"], members, NOW)


def test_only_what_an_operator_consents_to_is_detail() -> None:
    told = {
        "b": Summary(version=1, region="eu-west", detail=True),
        "a": Summary(version=1, region="us-east", detail=True),
        "c": Summary(version=1, region="ap-south"),
    }
    found = detail(told, {name: {"tickets": {"marked": True}} for name in told})
    assert [(each["operator"], each["region"]) for each in found] == [
        ("a", "us-east"),
        ("b", "eu-west"),
    ]
    assert "now" not in found[0]
    assert all(each["tickets"]["marked"] for each in found)
