"""Runs tiers of tests and says plainly which one this machine cannot run, and why.

`python tests/run.py [--strict] TIER… [-- PYTEST ARGUMENTS]`. With `--strict` a tier that cannot
run is a failure, and so is a test that skips itself. The cluster tier runs inside the testbed's
network namespace, since Service and pod addresses must never leave the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.tools.recipes import KEDA_TOOLS, NODE_TOOLS
from mediafleet_testbed.tools.toolchain import ensure

ROOT: Final = Path(__file__).resolve().parent.parent
SECONDS: Final = {
    "unit": 900,
    "contract": 600,
    "real": 1500,
    "cluster": 2400,
    "proofs": 3600,
    "keda": 1800,
}
"""A tier that takes longer hangs: it is ended and fails."""

ON_NODE: Final = ("cluster", "proofs", "keda")
PROGRAMS: Final = {
    "real": ("livekit-server", "ai-worker"),
    "cluster": (*NODE_TOOLS, "livekit-server", "helm", "kwok"),
    "proofs": (*NODE_TOOLS, "helm"),
    "keda": (*NODE_TOOLS, "helm", *KEDA_TOOLS),
}
"""Built from source on a new machine, in the order of the tiers."""


def why_not(tier: str) -> str | None:
    """One sentence on why this machine cannot run a tier, or `None`."""
    if tier == "real":
        from mediafleet_testbed.real_servers import why_not as real

        return real()
    if tier in ON_NODE:
        from mediafleet_testbed.node import why_not as cluster

        return cluster()
    return None


@functools.cache
def node() -> contextlib.AbstractContextManager[object]:
    """The node that all tiers share which need one; one that ran before stays up."""
    from mediafleet_testbed.node import Node

    return Node.up()


@contextlib.contextmanager
def building(tiers: list[str]) -> Iterator[None]:
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


def command(tier: str, extra: list[str]) -> list[str]:
    """What runs a tier."""
    pytest = [sys.executable, "-m", "pytest"]
    inside = [sys.executable, "-m", "mediafleet_testbed", "exec", "--up", "--", *pytest]
    return [*(inside if tier in ON_NODE else pytest), f"tests/{tier}", *extra]


def run(tier: str, extra: list[str], *, strict: bool) -> bool:
    """Run one tier; whether it passed."""
    print(f"\n=== tier {tier} ===", flush=True)
    began = time.monotonic()
    try:
        code = subprocess.run(
            command(tier, extra),
            cwd=ROOT,
            env={**os.environ, "STRICT": "1" if strict else ""},
            timeout=SECONDS[tier],
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"tier {tier}: no end after {SECONDS[tier]} s", flush=True)
        return False
    print(f"=== tier {tier}: exit {code} after {time.monotonic() - began:.0f} s ===", flush=True)
    return code == 0


def main() -> int:
    """Run what the arguments name; exit status."""
    arguments = sys.argv[1:]
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="a tier that cannot run fails")
    parser.add_argument("tiers", nargs="+", choices=sorted(SECONDS))
    options = parser.parse_args(arguments[:cut])
    tiers: list[str] = options.tiers
    failed: list[str] = []
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(building(tiers))
        for tier in tiers:
            if reason := why_not(tier):
                line = f"  TIER {tier.upper()} NOT RUN: {reason}  "
                print("\n" + "!" * min(len(line), shutil.get_terminal_size().columns))
                print(line, flush=True)
                missing.append(tier)
                continue
            try:
                # Before its time runs: a build takes longer than a test may.
                ensure(*PROGRAMS.get(tier, ()))
                if tier in ON_NODE:
                    stack.enter_context(node())
            except TestbedError as error:
                print(f"tier {tier}: cannot begin: {error}", flush=True)
                failed.append(tier)
                continue
            if not run(tier, arguments[cut + 1 :], strict=options.strict):
                failed.append(tier)
    print()
    for tier in tiers:
        verdict = "NOT RUN" if tier in missing else "FAILED" if tier in failed else "passed"
        print(f"  {tier:10} {verdict}")
    if missing and options.strict:
        print("A tier could not run and STRICT=1 was given.")
    return 1 if failed or (missing and options.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
