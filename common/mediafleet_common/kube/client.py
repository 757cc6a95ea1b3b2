"""Calls to the API server: JSON in, JSON out, each with a deadline, so many at a time.

The client's models are left out on purpose: they cost memory and time, and we read few fields.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from mediafleet_common.kube.errors import KubeError, UnreachableError, of_answer
from mediafleet_common.kube.login import configure
from mediafleet_common.kube.pace import Pacer, Rank
from mediafleet_common.kube.paths import Target
from mediafleet_common.kube.slim import slim
from mediafleet_common.serving.run import CannotStartError

DEADLINE_SECONDS: Final = 10.0
CALLS_AT_A_TIME: Final = 24
PAGE: Final = 100
_JSON: Final = {"Accept": "application/json"}
_MOST_LINE_BYTES: Final = 16 * 1024 * 1024

Json = dict[str, Any]
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""JSON is YAML."""


class Api:
    """The API server. An async context manager.

    `may_write` is asked before each write: an operator that has lost its Lease must not write,
    however late its call comes. `pacer` gives writes their turns by rank.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        may_write: Callable[[], bool] = lambda: True,
        on_write: Callable[[str, str, str], None] = lambda verb, resource, result: None,
        pacer: Pacer | None = None,
    ) -> None:
        self._client = ApiClient(configuration)
        self._slots = asyncio.Semaphore(CALLS_AT_A_TIME)
        self._may_write = may_write
        self._on_write = on_write
        self._pacer = pacer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.close()

    async def get(self, target: Target, **query: str) -> Json:
        """One object, or one page of a list."""
        return await self._call("GET", target, query)

    async def document(self, target: Target, media_type: str) -> Json:
        """Something that is no object of the API, and of no other type of JSON than this."""
        return await self._call("GET", target, {}, accept=media_type)

    async def text(self, target: Target) -> str:
        """What is no JSON, such as metrics through the proxy of a pod."""
        return (await self._bytes("GET", target, {}, accept="*/*")).decode("utf-8", "replace")

    async def list_all(self, target: Target, **query: str) -> list[Json]:
        """All objects of a collection, page by page."""
        return (await self.list_as_of(target, **query))[1]

    async def list_as_of(self, target: Target, **query: str) -> tuple[int, list[Json]]:
        """All objects of a collection, and the resourceVersion that the list is as of."""
        items: list[Json] = []
        more = ""
        while True:
            page = {"limit": str(PAGE), **({"continue": more} if more else {})}
            answer = await self.get(target, **query, **page)
            try:
                items += (slim(target.resource, each) for each in answer["items"] or [])
                version = int(answer["metadata"]["resourceVersion"])
            except (KeyError, TypeError, ValueError) as error:
                message = f"GET {target.path}: an answer that is no list: {error!r}"
                raise UnreachableError(message) from error
            more = answer["metadata"].get("continue") or ""
            if not more:
                return version, items

    async def watch(self, target: Target, seconds: int, **query: str) -> AsyncIterator[Json]:
        """The events of a collection; the server is asked to end it after so long.

        Raises:
            KubeError: the server cannot be reached, or refuses.
        """
        asked = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            **query,
        }
        limit = aiohttp.ClientTimeout(
            total=seconds + DEADLINE_SECONDS, sock_connect=DEADLINE_SECONDS
        )
        try:
            response = (await self._request("GET", target, asked, None, _JSON, limit)).response
            try:
                if response.status != 200:
                    raise of_answer(response.status, await response.read())
                async for line in _lines(response.content):
                    event = json.loads(line)
                    if isinstance(event.get("object"), dict):
                        slim(target.resource, event["object"])
                    yield event
            finally:
                # A stream that is left before its end cannot be used again.
                response.close()
        except TimeoutError:
            raise UnreachableError(f"watch {target.path}: no answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"watch {target.path}: {error}") from error
        except (ValueError, AttributeError) as error:
            raise UnreachableError(f"watch {target.path}: not JSON") from error

    async def create(self, target: Target, body: Json) -> Json:
        """POST; AlreadyExistsError when there is one of that name."""
        return await self._write("create", lambda: self._call("POST", target, {}, body), target)

    async def patch(
        self,
        target: Target,
        body: Json,
        manager: str | None = None,
        *,
        rank: Rank = Rank.PROMPT,
    ) -> Json:
        """JSON merge patch; a resourceVersion in it makes it conditional."""
        query = {"fieldManager": manager} if manager else {}
        return await self._write(
            "patch",
            lambda: self._call("PATCH", target, query, body, MERGE_PATCH),
            target,
            rank,
        )

    async def merge_lists(self, target: Target, body: Json) -> Json:
        """Strategic merge patch: conditions and their like are merged by type, not replaced."""
        return await self._write(
            "patch", lambda: self._call("PATCH", target, {}, body, STRATEGIC_PATCH), target
        )

    async def replace(self, target: Target, body: Json) -> Json:
        """PUT; its resourceVersion makes it conditional."""
        return await self._write("update", lambda: self._call("PUT", target, {}, body), target)

    async def apply(self, target: Target, body: Json, manager: str, *, force: bool = True) -> Json:
        """Server-side apply: the fields in `body` become ours, all others stay as they are.

        Without `force` a field of another manager is a ConflictError.
        """
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write(
            "apply", lambda: self._call("PATCH", target, query, body, APPLY_PATCH), target
        )

    async def delete(
        self, target: Target, uid: str, resource_version: str, grace_seconds: int | None = None
    ) -> Json:
        """Delete the object if it is the one that was seen, as it was seen."""
        body: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        return await self._write(
            "delete", lambda: self._call("DELETE", target, {}, body), target, Rank.URGENT
        )

    async def _write(
        self,
        verb: str,
        call: Callable[[], Awaitable[Json]],
        target: Target,
        rank: Rank = Rank.PROMPT,
    ) -> Json:
        try:
            answer = await self._in_turn(call, rank)
        except KubeError as error:
            self._on_write(verb, target.resource, error.word)
            raise
        self._on_write(verb, target.resource, "ok")
        return answer

    async def _in_turn(self, call: Callable[[], Awaitable[Json]], rank: Rank) -> Json:
        if self._pacer is None:
            return await self._if_leader(call)
        async with self._pacer.turn(rank):
            return await self._if_leader(call)

    async def _if_leader(self, call: Callable[[], Awaitable[Json]]) -> Json:
        if not self._may_write():
            raise UnreachableError("not the leader any more: nothing is written")
        return await call()

    async def _request(
        self,
        method: str,
        target: Target,
        query: Mapping[str, str],
        body: Json | None,
        headers: Mapping[str, str],
        limit: aiohttp.ClientTimeout,
    ) -> Any:
        method, url, sent_headers, sent, _ = await self._client.param_serialize(
            method,
            target.path,
            query_params=list(query.items()),
            header_params=dict(headers),
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(method, url, sent_headers, sent, _request_timeout=limit)

    async def _call(
        self,
        method: str,
        target: Target,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        text = await self._bytes(method, target, query, body, content_type, accept)
        try:
            answer: Json = json.loads(text)
        except ValueError as error:
            raise UnreachableError(f"{method} {target.path}: not JSON") from error
        return answer

    async def _bytes(
        self,
        method: str,
        target: Target,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        headers = {"Accept": accept, "Content-Type": content_type}
        limit = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
        try:
            async with self._slots, asyncio.timeout(DEADLINE_SECONDS):
                response = await self._request(method, target, query, body, headers, limit)
                text: bytes = await response.read()
        except TimeoutError:
            message = f"{method} {target.path}: no answer in {DEADLINE_SECONDS:g} s"
            raise UnreachableError(message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{method} {target.path}: {error}") from error
        if not 200 <= response.status < 300:
            raise of_answer(response.status, text)
        return text


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MOST_LINE_BYTES:
            raise ValueError("an event without end")
        for line in lines:
            if line.strip():
                yield line


Connect = Callable[[], AbstractAsyncContextManager[Api]]
"""Opens the API server for a few calls.

Raises:
    UnreachableError: there are no credentials.
"""


@asynccontextmanager
async def connect() -> AsyncIterator[Api]:
    """The API server by credentials that are read anew, for processes that call it rarely."""
    try:
        configuration = await configure()
    except CannotStartError as error:
        raise UnreachableError(str(error)) from error
    async with Api(configuration) as api:
        yield api
