"""Entry of the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name."""
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


if __name__ == "__main__":
    main()
