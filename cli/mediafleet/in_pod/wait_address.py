"""`mediafleet wait-address`: hold a node back until the operator has written its address.

Runs once at the start of a node's pod, in an init container, so it imports next to nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

USAGE: Final = "usage: mediafleet wait-address --file FILE"
PAUSE_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 600.0
"""A load balancer may take minutes; then kubelet starts us anew, and shows that it did."""
LOG_SECONDS: Final = 30.0


def wait(file: Path, patience_seconds: float = PATIENCE_SECONDS) -> str | None:
    """The address in a file, once there is one; `None` when patience is over."""
    began = logged_at = time.monotonic()
    while True:
        address = _read(file)
        now = time.monotonic()
        if address or now - began >= patience_seconds:
            return address or None
        if now - logged_at >= LOG_SECONDS:
            logged_at = now
            print("still no address: see condition AddressReady of the pool", flush=True)
        time.sleep(PAUSE_SECONDS)


def main(arguments: list[str]) -> int:
    """The exit status: 0 when there is an address, 1 when none came, 2 for wrong arguments."""
    if len(arguments) != 2 or arguments[0] != "--file":
        print(USAGE, file=sys.stderr)
        return 2
    address = wait(Path(arguments[1]))
    if address is None:
        print("no address came: see condition AddressReady of the pool", file=sys.stderr)
        return 1
    print(f"the address is {address}")
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
