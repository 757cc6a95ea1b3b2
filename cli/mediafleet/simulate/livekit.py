"""Ask a livekit-server for its egresses: ListEgress over Twirp, as JSON, page by page.

Sources: livekit/protocol protobufs/livekit_egress.proto (ListEgressRequest, ListEgressResponse),
livekit/livekit pkg/service/egress.go (needs the grant roomRecord) and redisstore.go (what has ended
is deleted after 24 h).
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from mediafleet_common.clock import SYSTEM
from mediafleet_common.serving.logs import printable
from mediafleet_common.serving.small_files import MAX_SECRET_BYTES, read_small_text

KEY_VARIABLE: Final = "LIVEKIT_API_KEY"
SECRET_VARIABLE: Final = "LIVEKIT_API_SECRET"
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of all pages."""
MAX_PAGES: Final = 1000
_PANEL: Final = "LiveKit"
_METHOD: Final = "/twirp/livekit.Egress/ListEgress"
_SILENCE_SECONDS: Final = 20.0
"""Without a byte, and to connect."""
_IN_ALL_SECONDS: Final = 120.0
_TOKEN_SECONDS: Final = 600
_READ_AT_ONCE: Final = 256 * 1024
DAY: Final = 86_400.0
"""Seconds."""
_SCHEMES: Final = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


@dataclass(frozen=True, slots=True)
class LivekitOptions:
    """A livekit-server whose own jobs are the trace."""

    from_livekit: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Instead of TRACE: the jobs that this livekit-server or LiveKit Cloud tells of.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    days: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0.01,
            max=3650,
            help="Jobs that began in so many last days. livekit-server itself forgets a job 24 h "
            "after its end.",
            rich_help_panel=_PANEL,
        ),
    ] = 7
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help=f"Default: ${KEY_VARIABLE}, as lk takes it.", rich_help_panel=_PANEL
        ),
    ] = None
    api_secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"File that holds the key's secret. Default: ${SECRET_VARIABLE}.",
            rich_help_panel=_PANEL,
        ),
    ] = None

    def server(self) -> Server | None:
        """Who is to be asked; `None`: nobody.

        Raises:
            typer.BadParameter: the options do not say whom and how.
        """
        if self.from_livekit is None:
            return None
        key = (self.api_key or os.environ.get(KEY_VARIABLE) or "").strip()
        if not key:
            raise typer.BadParameter(f"--from-livekit needs --api-key or ${KEY_VARIABLE}")
        return Server(_base(self.from_livekit), key, _secret(self.api_secret_file))


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and how it is asked."""

    url: str
    key: str
    secret: str = field(repr=False)


class ListError(Exception):
    """The server did not tell its egresses; the text says what to correct."""


def items(server: Server) -> list[Any]:
    """What the server tells of all its egresses, as JSON.

    Raises:
        ListError: it does not answer, or would not, or with something else.
    """
    deadline = SYSTEM.monotonic() + _IN_ALL_SECONDS
    found: list[Any] = []
    read, page = 0, ""
    for _ in range(MAX_PAGES):
        answer = _asked(server, page, deadline, MAX_BYTES - read)
        read += len(answer)
        whole = _parsed(server, answer)
        found += whole.get("items") or []
        following = whole.get("next_page_token", whole.get("nextPageToken")) or {}
        page = following.get("token") or "" if isinstance(following, dict) else ""
        if not page:
            return found
    raise ListError(f"{server.url} has more than {MAX_PAGES} pages of egresses")


def reach(began: list[float], days: float, now: float) -> str:
    """How far back the jobs reach, in words; `began` are Unix times."""
    oldest = max(now - min(began), 0) / DAY
    text = f"{len(began)} jobs of the last {oldest:.1f} days"
    if oldest < min(days, 2) - 0.5:
        text += " (livekit-server forgets a job 24 h after its end)"
    return text


def _base(url: str) -> str:
    parts = urlsplit(url)
    scheme = _SCHEMES.get(parts.scheme)
    try:
        bad = scheme is None or not parts.hostname or parts.query or parts.fragment
        port = parts.port
    except ValueError:
        bad, port = True, None
    if parts.username is not None or parts.password is not None:
        raise typer.BadParameter(
            f"--from-livekit takes no password in its URL: use --api-key and ${SECRET_VARIABLE}"
        )
    if bad:
        raise typer.BadParameter(f"--from-livekit {url}: give https://HOST or wss://HOST")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _secret(file: Path | None) -> str:
    if file is None:
        secret = (os.environ.get(SECRET_VARIABLE) or "").strip()
        if not secret:
            raise typer.BadParameter(
                f"--from-livekit needs --api-secret-file or ${SECRET_VARIABLE}"
            )
        return secret
    try:
        secret = read_small_text(file, MAX_SECRET_BYTES).strip()
    except OSError as error:
        raise typer.BadParameter(f"--api-secret-file {file}: {error.strerror}") from error
    if not secret:
        raise typer.BadParameter(f"--api-secret-file {file}: it is empty")
    return secret


def _token(server: Server) -> str:
    import jwt

    now = int(SYSTEM.unix())
    claims = {
        "iss": server.key,
        "nbf": now - 5,
        "exp": now + _TOKEN_SECONDS,
        "video": {"roomRecord": True},
    }
    with warnings.catch_warnings():
        # `livekit-server --dev` has a secret of six letters; it is not ours to judge.
        warnings.simplefilter("ignore")
        return jwt.encode(claims, server.secret, algorithm="HS256")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Stays at the server that the user named: a token goes nowhere else."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def _asked(server: Server, page: str, deadline: float, max_bytes: int) -> bytes:
    body = {"page_token": {"token": page}} if page else {}
    request = urllib.request.Request(
        server.url + _METHOD,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {_token(server)}"},
    )
    try:
        with _OPENER.open(request, timeout=_SILENCE_SECONDS) as answer:
            return _read(server, answer, deadline, max_bytes)
    except urllib.error.HTTPError as error:
        raise ListError(_refusal(server, error)) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise ListError(f"{server.url} does not answer: {printable(str(why))}") from error


def _read(
    server: Server, answer: http.client.HTTPResponse, deadline: float, max_bytes: int
) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(_READ_AT_ONCE):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise ListError(
                f"{server.url} tells more than {MAX_BYTES // 1024**2} MB of egresses: write those "
                "of one room to a file by lk egress list --room ROOM --json"
            )
        if SYSTEM.monotonic() > deadline:
            raise ListError(f"{server.url} needs more than {_IN_ALL_SECONDS:.0f} s to tell all")
    return b"".join(parts)


def _refusal(server: Server, error: urllib.error.HTTPError) -> str:
    try:
        said = printable(str(json.loads(error.read(2000))["msg"]))
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        said = ""
    says = f"{server.url} says {error.code}{f': {said}' if said else ''}."
    if error.code in (401, 403):
        return (
            f"{says} Check that {KEY_VARIABLE} and {SECRET_VARIABLE} are a pair that this server "
            "knows, and the clocks of both machines"
        )
    if error.code in (404, 405) or 300 <= error.code < 400:
        return f"{says} Give the address of livekit-server itself: https://HOST or wss://HOST"
    if "redis" in said.lower():
        return f"{says} It knows of egresses only with `redis` in its configuration"
    return f"{says} Its log says why"


def _parsed(server: Server, answer: bytes) -> dict[str, Any]:
    try:
        whole = json.loads(answer)
    except (ValueError, RecursionError):
        whole = None
    if not isinstance(whole, dict) or not isinstance(whole.get("items") or [], list):
        raise ListError(f"{server.url} does not answer as a livekit-server")
    return whole
