"""Addresses and signatures as Ethereum and go-livepeer have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.eth import (
    BadKeyError,
    address_of,
    checksummed,
    keccak256,
    private_key,
    sign,
    signed,
)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = private_key("0x" + "46" * 32)


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak_is_the_one_before_sha_3(message: bytes, digest: str) -> None:
    assert keccak256(message).hex() == digest


@pytest.mark.parametrize("size", [135, 136, 137, 300])
def test_keccak_depends_on_every_byte_at_the_edges_of_a_block(size: int) -> None:
    digests = {keccak256(bytes(size))}
    digests |= {
        keccak256(bytes(at) + b"x" + bytes(size - at - 1)) for at in (0, size // 2, size - 1)
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    "text",
    [  # EIP-55, test cases
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_addresses_are_written_with_their_checksum(text: str) -> None:
    assert checksummed(bytes.fromhex(text[2:])) == text


def test_a_key_has_the_address_that_everybody_gives_it() -> None:
    one = private_key("0" * 63 + "1")
    assert checksummed(address_of(one.public_key)) == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


def test_what_a_key_signs_is_its_own_and_nobody_elses() -> None:
    address, signature = sign(KEY)
    assert (len(signature), signature[64] in (27, 28)) == (65, True)
    assert signed(address, signature)
    other, _ = sign(private_key("47" * 32))
    assert not signed(other, signature)


def test_what_go_livepeer_refuses_is_refused() -> None:
    """crypto/verify.go: 65 bytes, v of 27 or 28, and the lower of the two possible s."""
    address, signature = sign(KEY)
    mirrored = ORDER - int.from_bytes(signature[32:64], "big")
    other_v = bytes([55 - signature[64]])
    for forged in (
        b"",
        signature[:64],
        signature + b"x",
        signature[:64] + bytes([signature[64] - 27]),
        signature[:64] + other_v,
        signature[:32] + mirrored.to_bytes(32, "big") + other_v,
        bytes(65),
    ):
        assert not signed(address, forged)
    assert not signed(address[:19], signature)


@given(st.binary(max_size=22), st.binary(min_size=64, max_size=66))
def test_no_bytes_are_a_signature_by_chance_and_none_do_harm(address: bytes, text: bytes) -> None:
    assert not signed(address, text)
    assert not signed(address, text[:64] + b"\x1b")


@pytest.mark.parametrize("text", ["", "0x", "zz" * 32, "46" * 31, "0" * 64, '{"crypto": 1}'])
def test_what_is_no_key_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(BadKeyError) as caught:
        private_key(text)
    assert text in ("", "0x") or text not in str(caught.value)


def test_a_signature_of_no_point_on_the_curve_is_none() -> None:
    address, _ = sign(KEY)
    nowhere = (5).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x1b"
    assert not signed(address, nowhere)
    assert not signed(address, b"\xff" * 32 + bytes(31) + b"\x01\x1b")
