"""Routes by which an operator who shares sees what each other one shares, by itself.

`GET /detail` takes a bearer token: an invitation of the collector, or one from
`POST /detail/session` for a message of `GET /detail/message` that an address on the list of
orchestrators signed. Either way a report of the same operator must have been accepted within a day.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.community import PlainUrl
from mediafleet_common.clock import Clock
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.pages.files import HEADERS
from mediafleet_common.serving.access import bearer, same
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.core.community.members.detail import (
    NotAllowedError,
    challenge,
    check_shares,
    detail,
    members_of,
    signer,
)
from mediafleet_scheduler.directory.files import BrokenFileError, parse

SESSION_SECONDS: Final = 3600.0
MOST_SESSIONS: Final = 200
_MOST_BODY_BYTES: Final = 4096
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,100}")

_log: Final = logging.getLogger(__name__)


class Invitation(Model):
    """Somebody whom the collector lets in."""

    token: Annotated[str, Field(min_length=16, max_length=200)]
    """What they show as bearer token."""
    target: PlainUrl
    """Their operator, as the collector names it: they see detail while it shares."""


class Invitations(Model):
    """The file of `--invitations`."""

    invitations: Annotated[list[Invitation], Field(max_length=1000)]
    """All who are invited."""


@dataclass(frozen=True, slots=True)
class _Session:
    targets: tuple[str, ...]
    until: float


class Visitors:
    """Who is signed in; a restart signs all of them out."""

    def __init__(self, collector: Collector, clock: Clock, invitations: Path | None = None) -> None:
        self._collector = collector
        self._clock = clock
        self._invitations = invitations
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, _Session] = {}

    def routes(self) -> list[web.RouteDef]:
        """For anybody; they decide themselves."""
        return [
            web.get("/detail", self._detail),
            web.get("/detail/message", self._message),
            web.post("/detail/session", self._session),
        ]

    async def _message(self, request: web.Request) -> web.Response:
        if not _HOST.fullmatch(request.host):
            return _said(400, "no such host")
        return _json({"message": challenge(request.host, self._secret, self._clock.unix())})

    async def _session(self, request: web.Request) -> web.Response:
        try:
            body = json.loads((await request.content.read(_MOST_BODY_BYTES)).decode())
            message, signature = str(body["message"]), str(body["signature"])
        except (ValueError, KeyError, TypeError):
            return _said(400, 'give {"message": TEXT, "signature": HEX}')
        now, members = self._clock.unix(), self._collector.members
        try:
            address = signer(request.host, self._secret, now, message, signature)
            targets = members_of(address, members)
            check_shares(targets, members, now)
        except NotAllowedError as error:
            return _said(403, str(error))
        token, until = secrets.token_urlsafe(32), now + SESSION_SECONDS
        self._sessions[token] = _Session(tuple(targets), until)
        if len(self._sessions) > MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return _json({"token": token, "until": rfc3339(until)})

    async def _detail(self, request: web.Request) -> web.Response:
        now, token = self._clock.unix(), bearer(request)
        targets = await self._targets_of(token, now) if token else None
        if targets is None:
            return _said(401, "sign in: GET detail/message, sign it, POST it to detail/session")
        try:
            check_shares(targets, self._collector.members, now)
        except NotAllowedError as error:
            return _said(403, str(error))
        return _json({"operators": detail(self._collector.summaries, self._collector.payouts.each)})

    async def _targets_of(self, token: str, now: float) -> tuple[str, ...] | None:
        session = self._sessions.get(token)
        if session is not None and now < session.until:
            return session.targets
        self._sessions.pop(token, None)
        for each in await self._invited():
            if same(each.token, token):
                return (each.target,)
        return None

    async def _invited(self) -> list[Invitation]:
        if self._invitations is None:
            return []
        try:
            body = await asyncio.to_thread(read_small, self._invitations)
            return parse(body, Invitations).invitations
        except (OSError, BrokenFileError) as error:
            _log.warning("--invitations %s: %s; nobody is let in by it", self._invitations, error)
            return []


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    text = json.dumps(body, sort_keys=True) + "\n"
    headers = {**HEADERS, "Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)


def _said(status: int, text: str) -> web.Response:
    made = _json({"message": text}, status)
    if status == 401:
        made.headers["WWW-Authenticate"] = "Bearer"
    return made
