"""Who may see each operator's published values by itself: reciprocity. Pure.

Two things are asked for. Who it is: an invitation of the collector, or a message of the collector
that was signed (EIP-191, version 0x45) by an address on the list of orchestrators. And that they
share, too: a report of theirs was accepted within 24 hours.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mediafleet_common.formats import eth
from mediafleet_common.formats.times import rfc3339, unix
from mediafleet_scheduler.core.community.collecting import Summary

SIGN_WITHIN_SECONDS: Final = 300.0
ACCEPTED_WITHIN_SECONDS: Final = 86_400.0
MOST_MESSAGE_CHARACTERS: Final = 500
_TEXT: Final = (
    "Sign in at {collector} to see what each operator shares.\nGood until {until}\nMark {mark}"
)


class NotAllowedError(Exception):
    """Detail is not shown; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """An operator that the collector knows."""

    target: str
    accepted_at: float | None
    """Unix time of the last report that was taken; `None`: there is none."""
    address: bytes | None = None
    """ETH address, where the list of orchestrators says it."""


def challenge(collector: str, secret: bytes, now: float) -> str:
    """A message to sign: it names this collector and ends in minutes, and only we can make it."""
    until = rfc3339(now + SIGN_WITHIN_SECONDS)
    return _TEXT.format(collector=collector, until=until, mark=_mark(collector, until, secret))


def signer(collector: str, secret: bytes, now: float, message: str, signature: str) -> bytes:
    """The address that signed a message of ours.

    Raises:
        NotAllowedError: the message is not ours or over, or that is no signature.
    """
    until = _until(message)
    ours = _TEXT.format(collector=collector, until=until, mark=_mark(collector, until, secret))
    if not hmac.compare_digest(ours.encode(), message.encode()):
        raise NotAllowedError("the message is not one of this collector: ask for another")
    ends = unix(until)
    if ends is None or not now <= ends <= now + SIGN_WITHIN_SECONDS:
        raise NotAllowedError("the message is over: ask for another")
    try:
        signed = bytes.fromhex(signature.removeprefix("0x"))
    except ValueError:
        signed = b""
    address = eth.recovered(eth.personal(message.encode()), signed)
    if address is None:
        raise NotAllowedError("the signature is none: 65 bytes in hexadecimal, as personal_sign")
    return address


def members_of(address: bytes, members: Collection[Member]) -> list[str]:
    """The operators of an address.

    Raises:
        NotAllowedError: it is not on the list of orchestrators.
    """
    found = [each.target for each in members if each.address == address]
    if not found:
        raise NotAllowedError(
            f"{eth.checksummed(address)} is not on the list of orchestrators of this collector"
        )
    return found


def check_shares(targets: Collection[str], members: Collection[Member], now: float) -> None:
    """Pass where one of somebody's operators shares, too.

    Raises:
        NotAllowedError: none of them does.
    """
    for each in members:
        at = each.accepted_at
        if each.target in targets and at is not None and now - at < ACCEPTED_WITHIN_SECONDS:
            return
    raise NotAllowedError(
        "no report of yours was accepted within 24 hours: share, and detail is shared with you"
    )


def detail(
    summaries: Mapping[str, Summary], paid: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The published values of each operator who consents to it, and what its winning tickets say of
    them; both by target."""
    return [
        {
            "operator": name,
            **summary.model_dump(mode="json", exclude_none=True),
            **paid.get(name, {}),
        }
        for name, summary in sorted(summaries.items())
        if summary.detail
    ]


def _until(message: str) -> str:
    if len(message) > MOST_MESSAGE_CHARACTERS:
        return ""
    lines = [line for line in message.splitlines() if line.startswith("Good until ")]
    return lines[0].removeprefix("Good until ") if lines else ""


def _mark(collector: str, until: str, secret: bytes) -> str:
    told = f"{collector}\n{until}".encode()
    return hmac.new(secret, told, hashlib.sha256).hexdigest()[:32]
