"""Entry of the console script."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command that the arguments name."""
    if os.getpid() == 1:
        # Linux drops a SIGTERM for which the first process of a container has no handler; until a
        # command has one of its own, while it imports what it needs, this one ends it.
        signal.signal(signal.SIGTERM, _end)
    name, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    # These run once at the start of a pod: typer alone would cost more than their work.
    if name in ("egress-config", "wait-address") and not {"-h", "--help"} & {*arguments}:
        if name == "egress-config":
            from mediafleet.in_pod.egress_config import main as light
        else:
            from mediafleet.in_pod.wait_address import main as light
        sys.exit(light(arguments))
    from mediafleet.commands import app

    app()


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
