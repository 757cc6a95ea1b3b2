"""Runs tiers of tests and says plainly which one this machine cannot run, and why.

`python tests/run.py [--strict] TIER… [-- PYTEST ARGUMENTS]`. Unit, contract and real are one run on
a few processes, since many of their tests wait. So is cluster, on two. Beside it, on a second
Kubernetes node, runs what needs a node to itself and mostly waits: the tests marked `alone`, which
take the node away from others, and then KEDA's. Proofs fill the machine by themselves. With
`--strict` a tier that cannot run is a failure, and so is a test that skips itself. What runs on a
node runs inside its network namespace, since Service and pod addresses must never leave the
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.process_groups import ProcessGroups
from mediafleet_testbed.tools.recipes import KEDA_TOOLS, NODE_TOOLS
from mediafleet_testbed.tools.toolchain import ensure

ROOT: Final = Path(__file__).resolve().parent.parent
HERE: Final = ("real", "contract", "unit")
"""In the order they start: what waits first, so that what computes runs beside it."""
PAGES: Final = ("pages",)
"""By themselves: a browser fills the machine, and pages have times to keep."""
ON_NODE: Final = ("cluster", "keda", "proofs")
TIERS: Final = (*HERE, *PAGES, *ON_NODE)
PROGRAMS: Final = {
    "real": ("livekit-server", "ai-worker"),
    "cluster": (*NODE_TOOLS, "livekit-server", "stock-http", "helm", "kwok"),
    "proofs": (*NODE_TOOLS, "helm"),
    "keda": (*NODE_TOOLS, "helm", *KEDA_TOOLS),
}
"""Built from source on a new machine."""
NO_TESTS: Final = 5
"""Exit status of pytest where no test is chosen."""
GROUPS: Final = ProcessGroups()
"""One for each run of pytest."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of pytest over some tiers; it is ended, with all that it started, and fails after
    `seconds`."""

    tiers: tuple[str, ...]
    arguments: tuple[str, ...]
    seconds: int

    @property
    def on_node(self) -> bool:
        """Whether it needs the node."""
        return bool(set(self.tiers) & set(ON_NODE))

    def command(self, extra: Sequence[str]) -> list[str]:
        """Its command line."""
        pytest = [sys.executable, "-m", "pytest"]
        inside = [sys.executable, "-m", "mediafleet_testbed", "exec", "--up", "--", *pytest]
        folders = [f"tests/{tier}" for tier in self.tiers]
        slowest = "--durations=15"
        return [*(inside if self.on_node else pytest), *folders, slowest, *self.arguments, *extra]


Lane = tuple[Run, ...]
"""One after the other, on the same node."""


def processes() -> int:
    """Of pytest at once: some of them wait."""
    return (os.cpu_count() or 1) + 2


def stages(tiers: Sequence[str]) -> list[list[Lane]]:
    """What runs for these tiers: stages one after the other, the lanes of a stage side by side."""
    found: list[list[Lane]] = []
    if here := tuple(tier for tier in HERE if tier in tiers):
        # One at a time: in larger portions one process would get most of what takes long.
        beside = (f"-n{processes()}", "--dist=load", "--maxschedchunk=1")
        found.append([(Run(here, beside, 1500),)])
    if "pages" in tiers:
        found.append([(Run(PAGES, (), 600),)])
    lanes: list[Lane] = []
    apart: list[Run] = []
    if "cluster" in tiers:
        groups = ("-n2", "--dist=loadgroup", "--no-loadscope-reorder")
        lanes.append((Run(("cluster",), (*groups, "-m", "not alone"), 2400),))
        apart.append(Run(("cluster",), ("-m", "alone"), 1800))
    if "keda" in tiers:
        # Last there: its resources stay on the node, and beside them a chart installs more.
        apart.append(Run(("keda",), (), 2400))
    if apart:
        lanes.append(tuple(apart))
    if lanes:
        found.append(lanes)
    if "proofs" in tiers:
        found.append([(Run(("proofs",), (), 3600),)])
    return found


def runs(tiers: Sequence[str]) -> list[Run]:
    """All of them, in order."""
    return [run for lanes in stages(tiers) for lane in lanes for run in lane]


def second_node() -> str:
    """Its name, which is at most 20 characters."""
    return f"{Instance.named().name[:18]}-2"


def why_not(tier: str) -> str | None:
    """One sentence on why this machine cannot run a tier, or `None`."""
    if tier == "real":
        from mediafleet_testbed.real_servers import why_not as real

        return real()
    if tier in PAGES:
        from mediafleet_testbed.tools.browsing import why_not as pages

        return pages()
    if tier in ON_NODE:
        from mediafleet_testbed.node import why_not as cluster

        return cluster()
    return None


@contextlib.contextmanager
def building(tiers: Sequence[str]) -> Iterator[None]:
    """Have the programs that tiers need built while others run; who needs one waits for it.

    With what the tests leave of the CPUs: a niced build took 40 % of them from tests on the node,
    which have times to keep.
    """
    wanted = list(dict.fromkeys(name for tier in tiers for name in PROGRAMS.get(tier, ())))
    if not wanted:
        yield
        return
    build = (
        "import os, sys; from mediafleet_testbed.tools.toolchain import ensure; "
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); ensure(*sys.argv[1:])"
    )
    process = subprocess.Popen([sys.executable, "-c", build, *wanted], cwd=ROOT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


@dataclass(slots=True)
class Place:
    """Where runs follow one another: a node, up from the first that needs one, and their output."""

    node: str
    out: IO[str]
    stack: contextlib.ExitStack
    _is_up: bool = False

    def bring_up(self) -> None:
        """Have the node run until the stack unwinds; one that ran before stays up."""
        from mediafleet_testbed.node import Node

        if not self._is_up:
            self.stack.enter_context(Node.up(self.node))
            self._is_up = True

    def say(self, text: str) -> None:
        """Print, before what a run writes itself."""
        print(text, file=self.out, flush=True)


def pytest(run: Run, extra: Sequence[str], place: Place, *, strict: bool) -> int:
    """Exit status of one run."""
    place.say(f"\n=== {' '.join((*run.tiers, *run.arguments))} ===")
    began = time.monotonic()
    status = GROUPS.run(
        run.command(extra),
        cwd=ROOT,
        env={**os.environ, "STRICT": "1" if strict else "", "MEDIAFLEET_TESTBED": place.node},
        out=place.out,
        seconds=run.seconds,
    )
    if status is None:
        place.say(f"no end after {run.seconds} s")
        return 1
    place.say(f"=== exit {status} after {time.monotonic() - began:.0f} s ===")
    return status


def code(run: Run, extra: Sequence[str], place: Place, *, strict: bool) -> int:
    """Build what one run needs, then run it; its exit status."""
    try:
        # Before its time runs: a build takes longer than a test may.
        ensure(*dict.fromkeys(name for tier in run.tiers for name in PROGRAMS.get(tier, ())))
        if run.on_node:
            place.bring_up()
    except TestbedError as error:
        place.say(f"{' '.join(run.tiers)}: cannot begin: {error}")
        return 1
    return pytest(run, extra, place, strict=strict)


def apart(lane: Lane, extra: Sequence[str], *, strict: bool) -> list[int]:
    """Exit statuses of a lane beside another, on the second node; its output follows at its end."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        try:
            with contextlib.ExitStack() as stack:
                place = Place(second_node(), out, stack)
                return [code(run, extra, place, strict=strict) for run in lane]
        finally:
            out.seek(0)
            print(out.read(), flush=True)


def staged(
    lanes: Sequence[Lane], extra: Sequence[str], place: Place, *, strict: bool
) -> Iterator[tuple[Run, int]]:
    """The runs of one stage with their exit statuses; its first lane has the first node."""
    first, *others = lanes
    with ThreadPoolExecutor(max(1, len(others))) as beside:
        begun = [beside.submit(apart, lane, extra, strict=strict) for lane in others]
        codes = [[code(run, extra, place, strict=strict) for run in first]]
        codes += [each.result() for each in begun]
    for lane, ended in zip(lanes, codes, strict=True):
        yield from zip(lane, ended, strict=True)


def verdict(codes: Collection[int]) -> str:
    """Of a tier, by the exit status of each of its runs; `ARGS` may leave one without tests."""
    if not codes:
        return "NOT RUN"
    return "passed" if 0 in codes and set(codes) <= {0, NO_TESTS} else "FAILED"


def able(tiers: Sequence[str]) -> list[str]:
    """Those that this machine can run; the others are named loudly."""
    found = []
    for tier in tiers:
        if reason := why_not(tier):
            line = f"  TIER {tier.upper()} NOT RUN: {reason}  "
            print("\n" + "!" * min(len(line), shutil.get_terminal_size().columns))
            print(line, flush=True)
        else:
            found.append(tier)
    return found


def main() -> int:
    """Run what the arguments name; exit status."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    extra = arguments[cut + 1 :]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="a tier that cannot run fails")
    parser.add_argument("tiers", nargs="+", choices=sorted(TIERS))
    options = parser.parse_args(arguments[:cut])
    codes: dict[str, list[int]] = {tier: [] for tier in options.tiers}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, GROUPS.stop)
    # Tests would only wait for it.
    os.environ.setdefault("MEDIAFLEET_HPA_SECONDS", "5")
    with building(options.tiers), contextlib.ExitStack() as stack:
        place = Place(Instance.named().name, sys.stdout, stack)
        for lanes in stages(able(options.tiers)):
            for run, ended in staged(lanes, extra, place, strict=options.strict):
                for tier in run.tiers:
                    codes[tier].append(ended)
    verdicts = {tier: verdict(each) for tier, each in codes.items()}
    if not extra and all(verdicts.get(tier) == "passed" for tier in ON_NODE):
        # Of a run that is whole: what failed may have used the rights that are left. It is told
        # here, and `make rbac` fails: a rare right is used once in a run, on a slow node never.
        rights = [sys.executable, "-m", "tests.measures.rights"]
        subprocess.run(rights, cwd=ROOT, check=False)
    print()
    for tier, said in verdicts.items():
        print(f"  {tier:10} {said}")
    missing = "NOT RUN" in verdicts.values()
    if missing and options.strict:
        print("A tier could not run and STRICT=1 was given.")
    return 1 if "FAILED" in verdicts.values() or (missing and options.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
