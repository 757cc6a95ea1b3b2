"""Where orchestrators post the jobs of models that the broker registered there.

BYOC: the body is the client's own, at the registered URL or a path below; statuses from 400 are
passed on. 503 sends the gateway to another orchestrator, 401 makes the orchestrator forget the
capability, and an event stream is held open until `[DONE]` (livepeer/go-livepeer
byoc/job_orchestrator.go, byoc/job_gateway.go).

Live runner: requests of clients as they are, below the runner's URL. An orchestrator has no token
to send along, so that the URL holds what nobody can guess; it never shows it to clients
(ai/runner/live_runner.go).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from aiohttp import web

from mediafleet_common.serving.access import same
from mediafleet_scheduler.broker.runner_api import Door, RunnerApi, bears
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target

BYOC: Final = "/byoc"
LIVE: Final = "/live"
_LIVE_DOOR: Final = Door(full_status=503, as_it_comes=True)
_BYOC_DOOR: Final = Door(full_status=503, last_event=b"data: [DONE]\n\n", as_it_comes=True)


class UnderWay:
    """Jobs of orchestrators that have no answer yet."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, orchestrator: str, target: Target) -> int:
        """Those of one orchestrator and one model."""
        return self._counts[(orchestrator, *target)]

    @contextlib.contextmanager
    def one(self, orchestrator: str, pipeline: str, model: str) -> Iterator[None]:
        """One job, while it has no answer."""
        key = (orchestrator, pipeline, model)
        self._counts[key] += 1
        try:
            yield
        finally:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]


class JobDoor:
    """Routes for jobs of registered models."""

    def __init__(
        self,
        runner: RunnerApi,
        under_way: UnderWay,
        keys: Callable[[], Iterable[str]],
        token: Callable[[], str | None],
    ) -> None:
        self._runner = runner
        self._under_way = under_way
        self._keys = keys
        self._token = token
        self._random = secrets.token_hex(16)

    def live_path(self, key: str) -> str:
        """Where an orchestrator's live runners are."""
        return f"{LIVE}/{self._live_key(key)}"

    def _live_key(self, key: str) -> str:
        made_of = (self._token() or self._random).encode()
        return hmac.new(made_of, f"live runner {key}".encode(), hashlib.sha256).hexdigest()

    def routes(self) -> list[web.RouteDef]:
        """To be served on the HTTP port."""
        return [
            web.post(BYOC + "/{key}/{pipeline}/{rest:.+}", self._byoc),
            web.post(LIVE + "/{key}/{pipeline}/{rest:.+}", self._live),
        ]

    async def _byoc(self, request: web.Request) -> web.StreamResponse:
        if not bears(request, self._token()):
            return web.Response(status=401, text="invalid token")
        key = request.match_info["key"]
        pipeline, model = _asked(request)
        if key not in self._keys() or pipeline not in {*Pipeline}:
            return web.Response(status=404, text="no such capability")
        with self._under_way.one(key, pipeline, model):
            return await self._runner.perform(request, pipeline, model, _BYOC_DOOR)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        given = request.match_info["key"]
        found = False
        for key in self._keys():
            found |= same(self._live_key(key), given)
        if not found:
            return web.Response(status=404, text="no such runner")
        return await self._runner.perform(request, *_asked(request), _LIVE_DOOR)


def _asked(request: web.Request) -> tuple[str, str]:
    """Pipeline and model of a path that may name the pipeline once more at its end."""
    pipeline = request.match_info["pipeline"]
    return pipeline, request.match_info["rest"].removesuffix(f"/{pipeline}")
