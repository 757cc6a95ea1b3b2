"""Ask a running desk on its HTTP port."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import urlencode

import typer

_TIMEOUT_SECONDS = 10.0
_MAX_BYTES = 16 * 1024 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Desks never redirect; what answers so is no desk, and does not say where we go."""

    def redirect_request(self, *_: object) -> None:
        """None: the answer is an error."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def fetch(option: str, url: str, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
    """What the desk at `url`, which option `option` names, answers on a path.

    Raises:
        typer.Exit: it did not answer, or would not; the reason is printed.
    """
    base = (url if "://" in url else f"http://{url}").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{option} {url}: give http://HOST:PORT of a desk's --http")
    whole = f"{base}{path}?{urlencode(query)}" if query else f"{base}{path}"
    try:
        with _OPENER.open(whole, timeout=_TIMEOUT_SECONDS) as answer:
            read: bytes = answer.read(_MAX_BYTES)
            return read.decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        said = error.read(500).decode("utf-8", "replace").strip()
        message = f"{base} says {error.code}: {said}"
    except (OSError, ValueError) as error:
        message = f"{base} does not answer: {getattr(error, 'reason', error)}"
    typer.echo(message, err=True)
    raise typer.Exit(1)


def not_a_desk(url: str) -> typer.Exit:
    """It answers something else."""
    typer.echo(f"{url} does not answer as a desk of this version", err=True)
    return typer.Exit(1)
