"""Entry of the console script."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the arguments name."""
    if sys.argv[1:2] == ["egress-config"]:
        # Runs once at the start of every egress pod: typer alone would cost more than the work.
        from mediafleet.in_pod.egress_config import main as egress_config

        sys.exit(egress_config(sys.argv[2:]))
    if sys.argv[1:2] == ["wait-address"]:
        from mediafleet.in_pod.wait_address import main as wait_address

        sys.exit(wait_address(sys.argv[2:]))
    from mediafleet.commands import app

    app()


if __name__ == "__main__":
    main()
