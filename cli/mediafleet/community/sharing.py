"""What one operator shares: shown as it is, and given up."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mediafleet.tools.asking import fetch, post


def print_shared(target: str) -> None:
    """The very bytes that an advertiser shares."""
    for path in ("/metrics/community", "/summary"):
        typer.echo(f"{target}{path}", err=True)
        typer.echo(fetch("--target", target, path), nl=False)


def print_status(target: str, token: str | None) -> None:
    """What was read of an advertiser."""
    typer.echo(target, err=True)
    status = json.loads(fetch("--target", target, "/community/status", token=token))
    typer.echo(json.dumps(status, indent=2))


def print_bounds(folders: list[Path]) -> None:
    """What replicas published in the last day, as bounds."""
    from mediafleet_scheduler.community.replicas import last_day
    from mediafleet_scheduler.core.community.checks.replicas import merged
    from mediafleet_scheduler.core.community.stored import NotStoredError

    try:
        hours = merged([last_day(each) for each in folders])
    except NotStoredError as error:
        typer.echo(f"--state {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps({"of": len(folders), "hours": hours}, indent=2))


def leave(folders: list[Path]) -> None:
    """Share nothing any more, and delete what is kept."""
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_scheduler.community.state import State

    if len(folders) != 1 or not folders[0].is_dir():
        raise typer.BadParameter("leave needs one --state DIR, the advertiser's --community-state")
    (folder,) = folders
    try:
        deleted = State(folder).leave()
    except CannotStartError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(
        f"left: nothing is counted or published any more; {deleted} days deleted from {folder}"
    )
    typer.echo(f"to share again, delete {folder}/left and start the advertiser again")


def ask_to_forget(targets: list[str], collectors: list[str]) -> None:
    """Have each collector delete what it has of us, and say what it answers."""
    failed = False
    for each in collectors:
        for target in targets:
            answer, deleted = post("--collector", each, "/forget", {"target": target})
            typer.echo(f"{each}: {answer}")
            failed = failed or not deleted
    if collectors and not targets:
        raise typer.BadParameter("--collector needs --target URL: your advertiser as it names it")
    if failed:
        raise typer.Exit(1)
