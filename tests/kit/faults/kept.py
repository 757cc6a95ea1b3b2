"""Verdicts that outlive a run: a file of one JSON object a line, so that a long run may be stopped
at any time and go on where it was."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.kit.faults.lives import End, Verdict
from tests.kit.faults.plans import Course, Plan

COURSES: Final = Path(__file__).parent / "courses.json"
"""What clean runs took, as of the last long run: CI's plans go by it."""


def known() -> dict[str, Course]:
    """What stands in that file."""
    return {name: Course(**each) for name, each in json.loads(COURSES.read_text()).items()}


def note(courses: Mapping[str, Course]) -> None:
    """Write what clean runs took into that file."""
    said = {name: asdict(each) for name, each in sorted({**known(), **courses}.items())}
    COURSES.write_text(json.dumps(said, indent=2) + "\n")


@dataclass
class Kept:
    """What the clean run took, and the end of each plan; in memory alone without a `file`."""

    file: Path | None = None
    courses: dict[str, Course] = field(default_factory=dict)
    ends: dict[str, End] = field(default_factory=dict)
    """By the plan's text."""

    @classmethod
    def read(cls, file: Path | None) -> Kept:
        """What a run before has left, if anything. A line that it was killed in is left out."""
        kept = cls(file)
        if file is None or not file.exists():
            return kept
        for line in file.read_text().splitlines():
            try:
                kept._take(json.loads(line))
            except json.JSONDecodeError:
                continue
        return kept

    def _take(self, said: Mapping[str, Any]) -> None:
        if "courses" in said:
            self.courses = {name: Course(**each) for name, each in said["courses"].items()}
        else:
            fields = {**said["end"], "verdict": Verdict(said["end"]["verdict"])}
            self.ends[said["plan"]] = End(**{**fields, "course": Course(**fields["course"])})

    def learn(self, courses: Mapping[str, Course]) -> None:
        """Keep what the clean run took."""
        self.courses = dict(courses)
        self._write({"courses": {name: asdict(each) for name, each in courses.items()}})

    def note(self, plan: Plan, end: End) -> None:
        """Keep the end of a plan."""
        self.ends[str(plan)] = end
        self._write({"plan": str(plan), "end": asdict(end)})

    def _write(self, said: Mapping[str, Any]) -> None:
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # Begun anew, since a run before may have been killed in its last line.
        with self.file.open("a") as lines:
            lines.write("\n" + json.dumps(said))

    def failures(self) -> dict[str, str]:
        """What went wrong, by plan."""
        return {
            plan: f"{end.verdict}: {end.said}"
            for plan, end in self.ends.items()
            if end.verdict is not Verdict.CONVERGED
        }


@dataclass
class Progress:
    """Says how far a run is, now and then."""

    kept: Kept
    planned: int
    every: int = 10
    began: float = field(default_factory=time.monotonic)
    here: int = 0
    """Plans that ended in this run."""

    def step(self) -> None:
        """One more plan has ended."""
        self.here += 1
        if self.here % self.every == 0 or len(self.kept.ends) == self.planned:
            print(self.line(time.monotonic()), flush=True)

    def line(self, now: float) -> str:
        """How far it is, and how long the rest takes at this pace."""
        counts = Counter(end.verdict for end in self.kept.ends.values())
        told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
        each = (now - self.began) / max(1, self.here)
        left = each * (self.planned - len(self.kept.ends)) / 60
        return f"{len(self.kept.ends)} of {self.planned} plans: {told}; {left:.0f} min to go"
