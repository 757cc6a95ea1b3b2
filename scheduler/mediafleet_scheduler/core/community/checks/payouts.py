"""What winning tickets of a day say of each orchestrator: of its claim, or of what it keeps silent.

Who shares is held to its tickets. Who does not is estimated from what sharers have for their
tickets. An estimate enters no figure, and neither does a claim that its tickets contradict. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from mediafleet_scheduler.core.community.checks.convergence import Comparison, Verdict
from mediafleet_scheduler.core.community.checks.estimate import Estimate, Sharer, estimate
from mediafleet_scheduler.core.community.checks.tickets import Ticket, judge
from mediafleet_scheduler.core.community.collecting import Summary
from mediafleet_scheduler.core.community.publishing import ROUND_STREAMS

DAY_HOURS: Final = 24
_WHAT: Final = "streams of a day, in wei"


@dataclass(frozen=True, slots=True)
class Payouts:
    """What tickets say; both by target."""

    claims: Mapping[str, Comparison] = field(default_factory=dict)
    """Of each who shares and whose address is known."""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    """Of each who does not share and was paid: no figure, and in no sum."""
    silent: Estimate | None = None
    """All of those together; `None`: nobody can say."""

    @property
    def marked(self) -> frozenset[str]:
        """Whose claim its tickets contradict, once in 100 times by chance."""
        return frozenset(
            target for target, each in self.claims.items() if each.verdict is Verdict.OUTSIDE
        )

    def lines(self) -> list[str]:
        """The same for people; each estimate says that it is one."""
        said = [
            f"{'MARKED ' if target in self.marked else ''}{target}: {each.text}"
            for target, each in sorted(self.claims.items())
        ]
        said += [f"{target}: {_guessed(each)}" for target, each in sorted(self.estimates.items())]
        if self.silent is not None:
            said.append(f"all who do not share: {_guessed(self.silent)}; in no figure above")
        return said

    @property
    def beside(self) -> dict[str, Any]:
        """What anybody may see: of all together, and no name."""
        silent = None if self.silent is None else asdict(self.silent)
        return {"marked": len(self.marked), "estimated": silent}

    @property
    def each(self) -> dict[str, dict[str, Any]]:
        """What is said of each operator of whom anything is."""
        return {name: self.as_json(name) for name in sorted({*self.claims, *self.estimates})}

    def as_json(self, target: str) -> dict[str, Any]:
        """What is said of one operator; nothing where nothing is known."""
        said: dict[str, Any] = {}
        if (claim := self.claims.get(target)) is not None:
            band = [claim.band.low, claim.band.high if math.isfinite(claim.band.high) else None]
            said["tickets"] = {
                "verdict": claim.verdict.value,
                "marked": target in self.marked,
                "claimed": claim.reported,
                "paid": claim.counted,
                "ratio": claim.ratio,
                "expected": band,
            }
        if (guess := self.estimates.get(target)) is not None:
            said["estimated"] = asdict(guess)
        return said


NOTHING_PAID: Final = Payouts()


def payouts(
    summaries: Mapping[str, Summary],
    addresses: Mapping[str, str],
    tickets: Iterable[Ticket],
    wei_per_stream_hour: float | None,
) -> Payouts:
    """What the tickets of the last day say of all operators.

    Args:
        summaries: of who shares, by target.
        addresses: of all who are asked, `0x` and hex in lower case, by target; who is not in it
            can be neither judged nor estimated.
        tickets: that were redeemed in the day that the summaries are of.
        wei_per_stream_hour: what a stream pays in an hour; `None`: no claim is judged.
    """
    paid: defaultdict[str, list[Ticket]] = defaultdict(list)
    for each in tickets:
        paid[each.recipient].append(each)
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for target, address in addresses.items():
        targets[address].append(target)
    claims: dict[str, Comparison] = {}
    sharers: list[Sharer] = []
    silent: dict[str, float] = {}
    for address, its in targets.items():
        shared = [summaries[each] for each in its if each in summaries]
        payout = _sum(paid[address])
        if not shared:
            silent[its[0]] = payout
            continue
        found = _claim(shared, paid[address], wei_per_stream_hour)
        claims |= dict.fromkeys((each for each in its if each in summaries), found)
        average = _average(shared)
        if found.verdict is Verdict.OUTSIDE:
            silent[its[0]] = payout
        elif average is not None:
            sharers.append(Sharer(average, payout))
    guesses = {each: estimate(payout, sharers) for each, payout in silent.items() if payout > 0}
    return Payouts(
        claims,
        {target: each for target, each in guesses.items() if each is not None},
        estimate(sum(silent.values()), sharers) if silent else None,
    )


def _claim(
    shared: Sequence[Summary], tickets: Sequence[Ticket], wei_per_stream_hour: float | None
) -> Comparison:
    """One who published fewer hours than tickets are of may well have less than they say."""
    average, hours = _average(shared), min(each.day.hours for each in shared)
    if average is None or wei_per_stream_hour is None:
        return replace(judge(None, None, tickets), what=_WHAT)
    price = wei_per_stream_hour * hours
    # Each hour is rounded: the claim is what of that agrees best.
    slack = ROUND_STREAMS / 2 * len(shared)
    agreeing = _sum(tickets) / price if price else 0.0
    streams = min(max(agreeing, average - slack, 0.0), average + slack)
    found = replace(judge(streams, price, tickets), what=_WHAT)
    if hours < DAY_HOURS and found.ratio is not None and found.ratio < found.band.low:
        return replace(found, verdict=Verdict.NOT_MEASURABLE)
    return found


def _guessed(guess: Estimate) -> str:
    return (
        f"estimated {guess.streams:.0f} streams ({guess.low:.0f} to {guess.high:.0f}, "
        f"10-90 % of {guess.sharers} who share)"
    )


def _average(shared: Sequence[Summary]) -> float | None:
    known = [each.day.average for each in shared if each.day.average is not None]
    return sum(known) if len(known) == len(shared) else None


def _sum(tickets: Sequence[Ticket]) -> float:
    return float(sum(each.face_value for each in tickets))
