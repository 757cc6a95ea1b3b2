"""Pixels that are claimed beside winning tickets on chain. Pure.

A gateway pays with tickets of which few win, so that payouts converge with work over many of them
only. Event: livepeer/protocol contracts/pm/mixins/MixinTicketBrokerCore.sol, WinningTicketRedeemed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mediafleet_scheduler.core.community.checks.convergence import (
    Band,
    Comparison,
    Verdict,
    compare,
)

TOPIC: Final = "0xc389eb51ed006dbf2528507f010efdf5225ea596e1e1741d74f550dab1925ee7"
"""Keccak-256 of `SIGNATURE`."""
SIGNATURE: Final = "WinningTicketRedeemed(address,address,uint256,uint256,uint256,uint256,bytes)"
LEAST_TICKETS: Final = 30
"""Of fewer, chance says more than work does."""
_DEVIATIONS: Final = 2.5758293035489
"""Of a normal law, on both sides: 99 %."""
_WORD: Final = 64
_ADDRESS: Final = 40
_TOPICS: Final = 3
_HEX: Final = re.compile("0x[0-9a-fA-F]*")
_WORDS: Final = 4
"""Before the text that a ticket may carry: value, probability, nonce, random number."""
_WHAT: Final = "pixels, in wei"


class NotTicketsError(ValueError):
    """What is given is no list of such events; the text says where."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that won and was redeemed."""

    recipient: str
    """`0x` and 40 hex digits, in lower case."""
    face_value: int
    """Wei."""


def tickets_of(logs: object) -> list[Ticket]:
    """The tickets in what `eth_getLogs` answers.

    Raises:
        NotTicketsError: it is no such list.
    """
    if not isinstance(logs, list):
        raise NotTicketsError("no list of logs")
    return [_ticket(number, each) for number, each in enumerate(logs)]


def tickets_by_block(logs: object, first: int, last: int) -> list[tuple[int, Ticket]]:
    """The same with the block of each, of a range of blocks with both its ends.

    Raises:
        NotTicketsError: it is no such list, or one is of another block.
    """
    tickets = tickets_of(logs)
    assert isinstance(logs, list), "tickets_of has looked"
    blocks = [_block(number, each) for number, each in enumerate(logs)]
    for number, block in enumerate(blocks):
        if not first <= block <= last:
            raise NotTicketsError(f"log {number} is of block {block}, which nobody asked for")
    return list(zip(blocks, tickets, strict=True))


def judge(
    pixels: float | None, wei_per_pixel: float | None, tickets: Sequence[Ticket]
) -> Comparison:
    """Compare a claim of pixels with the tickets of the same recipient and time.

    How many tickets win for work of some value is random, by Poisson's law. A claim is outside
    where so few or so many would be seen less than once in 100 times.

    Args:
        pixels: that are claimed; `None`: nothing is.
        wei_per_pixel: the price; `None`: unknown.
        tickets: that were redeemed.
    """
    claimed = None if pixels is None or wei_per_pixel is None else pixels * wei_per_pixel
    paid = float(sum(each.face_value for each in tickets))
    if not tickets:
        return compare(_WHAT, claimed, None, Band(0, math.inf))
    found = compare(_WHAT, claimed, paid, expected(len(tickets)))
    if found.verdict is Verdict.NOT_MEASURABLE or len(tickets) >= LEAST_TICKETS:
        return found
    return replace(found, verdict=Verdict.NOT_ENOUGH)


def expected(tickets: int) -> Band:
    """The ratios of claim to payout that are no news, 99 of 100 times, of so many tickets.

    By the approximation of E. B. Wilson and M. M. Hilferty (1931): within 1 % of the exact limits
    from 5 tickets on.
    """
    return Band(_limit(tickets, -_DEVIATIONS) / tickets, _limit(tickets + 1, _DEVIATIONS) / tickets)


def _limit(count: int, deviations: float) -> float:
    root = 1 - 1 / (9 * count) + deviations / (3 * math.sqrt(count))
    return count * root**3


def _ticket(number: int, log: object) -> Ticket:
    topics, data = (log.get("topics"), log.get("data")) if isinstance(log, dict) else (None, None)
    if not (isinstance(topics, list) and len(topics) == _TOPICS and topics[0] == TOPIC):
        raise NotTicketsError(f"log {number} is no {SIGNATURE.partition('(')[0]}")
    recipient = _hex(topics[2], _WORD)
    words = _hex(data, _WORD * _WORDS)
    if recipient is None or words is None or int(recipient[:-_ADDRESS], 16):
        raise NotTicketsError(f"log {number} has another form")
    return Ticket(f"0x{recipient[-_ADDRESS:]}", int(words[:_WORD], 16))


def _block(number: int, log: Mapping[str, object]) -> int:
    digits = _hex(log.get("blockNumber"), 1)
    if digits is None:
        raise NotTicketsError(f"log {number} is of no block")
    return int(digits, 16)


def _hex(text: object, least: int) -> str | None:
    """The digits, in lower case, where there are at least so many."""
    if not isinstance(text, str) or not _HEX.fullmatch(text) or len(text) < 2 + least:
        return None
    return text[2:].lower()
