"""`detail`: what each operator shares by itself, as a collector tells who shares too."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mediafleet.tools.asking import fetch, post


def print_detail(collectors: list[str], token: str | None, key: Path | None) -> None:
    """What each operator shares, for who is invited or signs in."""
    if len(collectors) != 1 or (token is None) == (key is None):
        raise typer.BadParameter("detail needs one --collector URL, and --token or --key FILE")
    (collector,) = collectors
    token = token or _sign_in(collector, key)
    told = json.loads(fetch("--collector", collector, "/detail", token=token))
    typer.echo(json.dumps(told, indent=2))


def _sign_in(collector: str, key: Path | None) -> str:
    from mediafleet_common.formats import eth
    from mediafleet_common.serving.small_files import read_small_text

    assert key is not None
    message = json.loads(fetch("--collector", collector, "/detail/message"))["message"]
    try:
        signature = eth.sign_personal(eth.private_key(read_small_text(key)), message.encode())
    except (OSError, ValueError) as error:
        typer.echo(f"--key {key}: {error}", err=True)
        raise typer.Exit(1) from error
    body = {"message": message, "signature": "0x" + signature.hex()}
    answer, signed_in = post("--collector", collector, "/detail/session", body, "token")
    if not signed_in:
        typer.echo(f"{collector}: {answer}", err=True)
        raise typer.Exit(1)
    return answer
