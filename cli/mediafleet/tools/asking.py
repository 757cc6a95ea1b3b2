"""Ask a running desk on its HTTP port."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode, urlsplit

import typer

from mediafleet_common.serving.logs import printable

_TIMEOUT_SECONDS = 10.0
_POST_TIMEOUT_SECONDS = 30.0
"""A collector asks us before it answers."""
_MAX_BYTES = 16 * 1024 * 1024
_MAX_ANSWER_BYTES = 500


TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="Bearer token for the desk: that of its --http-token-file, or in a cluster "
        '"$(kubectl create token ACCOUNT --audience mediafleet)" of an account that it lets in.',
    ),
]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Stays at the desk that the user named: a token goes nowhere else."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirects)


class _NoAnswerError(Exception):
    """The desk did not answer, or would not; the text says so for people."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def fetch(
    option: str,
    url: str,
    path: str,
    query: Sequence[tuple[str, str]] = (),
    token: str | None = None,
) -> str:
    """What the desk at `url`, which option `option` names, answers on a path.

    Raises:
        typer.Exit: it did not answer, or would not; the reason is printed.
    """
    try:
        return _get(option, url, path, query, token)
    except _NoAnswerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def fetch_if_there(option: str, url: str, path: str, token: str | None = None) -> str | None:
    """The same; `None`: a desk of this kind has no such path.

    Raises:
        typer.Exit: it did not answer, or would not; the reason is printed.
    """
    try:
        return _get(option, url, path, (), token)
    except _NoAnswerError as error:
        if error.status == 404:
            return None
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _get(
    option: str, url: str, path: str, query: Sequence[tuple[str, str]], token: str | None
) -> str:
    base = (url if "://" in url else f"http://{url}").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{option} {url}: give http://HOST:PORT of a desk's --http")
    whole = f"{base}{path}?{urlencode(query)}" if query else f"{base}{path}"
    try:
        request = urllib.request.Request(whole)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            read: bytes = answer.read(_MAX_BYTES)
            return read.decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        said = error.read(500).decode("utf-8", "replace").strip()
        raise _NoAnswerError(f"{base} says {error.code}: {said}", error.code) from error
    except (OSError, ValueError) as error:
        raise _NoAnswerError(f"{base} does not answer: {_why(error)}{_fix(base)}") from error


def post(
    option: str, url: str, path: str, body: Mapping[str, str], told: str = "message"
) -> tuple[str, bool]:
    """What a server says to a JSON body, and whether it did what was asked; then it is what stands
    under `told` in its answer."""
    base = (url if "://" in url else f"http://{url}").rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{option} {url}: give http://HOST:PORT")
    request = urllib.request.Request(
        f"{base}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with _OPENER.open(request, timeout=_POST_TIMEOUT_SECONDS) as answer:
            return _message(answer.read(_MAX_ANSWER_BYTES), told), True
    except urllib.error.HTTPError as error:
        return f"{error.code}: {_message(error.read(_MAX_ANSWER_BYTES))}", False
    except (OSError, ValueError) as error:
        return f"no answer: {_why(error)}", False


def _why(error: Exception) -> str:
    """In words, without the number that an error has."""
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner)


def _fix(base: str) -> str:
    """What makes a process of a cluster answer here."""
    if urlsplit(base).hostname not in ("127.0.0.1", "::1", "localhost"):
        return ""
    forward = "kubectl port-forward service/NAME PORT"
    return f". Is it there? Of a cluster: {forward}, and leave that running"


def _message(body: bytes, told: str = "message") -> str:
    try:
        return printable(str(json.loads(body)[told]))
    except (ValueError, KeyError, TypeError):
        return printable(body.decode("utf-8", "replace")).strip()


def not_a_desk(url: str) -> typer.Exit:
    """It answers something else."""
    typer.echo(f"{url} does not answer as a desk of this version", err=True)
    return typer.Exit(1)
