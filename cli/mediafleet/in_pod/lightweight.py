"""Help and completion of the two commands that run without typer (mediafleet.main)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def egress_config(
    *,
    source: Annotated[
        Path,
        typer.Option("--in", metavar="FILE", help="Your config; may be absent.", show_envvar=False),
    ],
    target: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The merged config.", show_envvar=False)
    ],
) -> None:
    """Merge your egress config with what the fleet sets, at the start of an egress pod.

    Exit status 1 when it cannot be made; the text says what to correct.
    """
    from mediafleet.in_pod.egress_config import main

    raise typer.Exit(main(["--in", str(source), "--out", str(target)]))


def wait_address(
    *,
    file: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Where the operator's address appears.", show_envvar=False
        ),
    ],
) -> None:
    """Wait in a node's pod until the operator has written the node's address.

    Exit status 1 when none came within 10 minutes; kubelet then starts it again.
    """
    from mediafleet.in_pod.wait_address import main

    raise typer.Exit(main(["--file", str(file)]))
