"""Claims that a run makes and keeps: a line each, PASS, FAIL or SLOW.

A figure that is worse than wished for is SLOW, not FAIL: it says as much of the machine as of the
product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rich.console import Console


class Verdict(StrEnum):
    """What became of a claim."""

    PASS = "PASS"
    FAIL = "FAIL"
    SLOW = "SLOW"


_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.SLOW: "yellow"}


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence and whether it held."""

    text: str
    verdict: Verdict
    detail: str


@dataclass(slots=True)
class Claims:
    """Collects claims as a run goes on."""

    made: list[Claim] = field(default_factory=list)

    def holds(self, text: str, held: bool, detail: str = "") -> None:
        """Note a claim that is true or false."""
        self.made.append(Claim(text, Verdict.PASS if held else Verdict.FAIL, detail))

    def within(self, text: str, value: float | None, goal: float, unit: str) -> None:
        """Note a figure against its goal; a figure that could not be taken is a failure."""
        if value is None:
            self.made.append(Claim(text, Verdict.FAIL, "not measured"))
            return
        verdict = Verdict.PASS if value <= goal else Verdict.SLOW
        self.made.append(Claim(text, verdict, f"{value:.3g} {unit}, goal {goal:g} {unit}"))

    @property
    def failed(self) -> bool:
        """Whether any claim did not hold."""
        return any(claim.verdict is Verdict.FAIL for claim in self.made)

    def print(self, console: Console) -> None:
        """A line per claim."""
        console.print()
        for claim in self.made:
            colour = _COLOURS[claim.verdict]
            detail = f"  [dim]{claim.detail}[/dim]" if claim.detail else ""
            console.print(
                f"[{colour}]{claim.verdict}[/{colour}]  {claim.text}{detail}", highlight=False
            )
