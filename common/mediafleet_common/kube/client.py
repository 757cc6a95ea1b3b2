"""Calls to the API server: JSON in, JSON out, each with a deadline, so many at a time.

The client's models are left out on purpose: they cost memory and time, and we read few fields.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from mediafleet_common.kube.errors import KubeError, UnreachableError, of_answer
from mediafleet_common.serving.run import CannotStartError

DEADLINE_SECONDS: Final = 10.0
CALLS_AT_A_TIME: Final = 24
PAGE: Final = 500

Json = dict[str, Any]
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""JSON is YAML."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a call is about: the path of a collection or an object, and its name in metrics."""

    path: str
    resource: str


async def configure(kubeconfig: str | None = None, context: str | None = None) -> Configuration:
    """How to reach the API server: as told, by $KUBECONFIG, from inside a pod, by ~/.kube/config.

    Raises:
        CannotStartError: none of these.
    """
    configuration = Configuration()
    try:
        if _inside_a_pod(kubeconfig):
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(
                config_file=_file(kubeconfig),
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError) as error:
        raise CannotStartError(
            f"no Kubernetes cluster is configured ({error}): set KUBECONFIG or give --kubeconfig"
        ) from error
    return configuration


def _inside_a_pod(kubeconfig: str | None) -> bool:
    named = kubeconfig or os.environ.get("KUBECONFIG")
    return not named and "KUBERNETES_SERVICE_HOST" in os.environ


def _file(kubeconfig: str | None) -> str:
    default = str(Path.home() / ".kube" / "config")
    files = kubeconfig or os.environ.get("KUBECONFIG") or default
    # $KUBECONFIG may name several.
    if not any(Path(each).exists() for each in files.split(os.pathsep)):
        raise ConfigException(f"there is no {files}")
    return files


class Api:
    """The API server. An async context manager.

    `may_write` is asked before each write: an operator that has lost its Lease must not write any
    more, however late a call of its comes.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        may_write: Callable[[], bool] = lambda: True,
        on_write: Callable[[str, str, str], None] = lambda verb, resource, result: None,
    ) -> None:
        self._client = ApiClient(configuration)
        self._slots = asyncio.Semaphore(CALLS_AT_A_TIME)
        self._may_write = may_write
        self._on_write = on_write

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

    async def list_all(self, target: Target, **query: str) -> list[Json]:
        """All objects of a collection, page by page."""
        items: list[Json] = []
        more = ""
        while True:
            page = {"limit": str(PAGE), **({"continue": more} if more else {})}
            answer = await self.get(target, **query, **page)
            items += answer.get("items") or []
            more = (answer.get("metadata") or {}).get("continue") or ""
            if not more:
                return items

    async def create(self, target: Target, body: Json) -> Json:
        """POST; AlreadyExistsError when there is one of that name."""
        return await self._write("create", lambda: self._call("POST", target, {}, body), target)

    async def patch(self, target: Target, body: Json, manager: str | None = None) -> Json:
        """JSON merge patch; a resourceVersion in it makes it conditional."""
        query = {"fieldManager": manager} if manager else {}
        return await self._write(
            "patch", lambda: self._call("PATCH", target, query, body, MERGE_PATCH), target
        )

    async def merge_lists(self, target: Target, body: Json) -> Json:
        """Strategic merge patch: conditions and their like are merged by type, not replaced."""
        return await self._write(
            "patch", lambda: self._call("PATCH", target, {}, body, STRATEGIC_PATCH), target
        )

    async def replace(self, target: Target, body: Json) -> Json:
        """PUT; its resourceVersion makes it conditional."""
        return await self._write("update", lambda: self._call("PUT", target, {}, body), target)

    async def apply(self, target: Target, body: Json, manager: str) -> Json:
        """Server-side apply: the fields in `body` become ours, all others stay as they are."""
        query = {"fieldManager": manager, "force": "true"}
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
        return await self._write("delete", lambda: self._call("DELETE", target, {}, body), target)

    async def _write(self, verb: str, call: Callable[[], Awaitable[Json]], target: Target) -> Json:
        if not self._may_write():
            raise UnreachableError("not the leader any more: nothing is written")
        try:
            answer = await call()
        except KubeError as error:
            self._on_write(verb, target.resource, error.word)
            raise
        self._on_write(verb, target.resource, "ok")
        return answer

    async def _call(
        self,
        method: str,
        target: Target,
        query: Mapping[str, str],
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        try:
            async with self._slots, asyncio.timeout(DEADLINE_SECONDS):
                method, url, headers, sent, _ = await self._client.param_serialize(
                    method,
                    target.path,
                    query_params=list(query.items()),
                    header_params=headers,
                    body=body,
                    auth_settings=["BearerToken"],
                )
                response = await self._client.call_api(
                    method,
                    url,
                    headers,
                    sent,
                    _request_timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS),
                )
                text = await response.read()
        except TimeoutError:
            message = f"{method} {target.path}: no answer in {DEADLINE_SECONDS:g} s"
            raise UnreachableError(message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{method} {target.path}: {error}") from error
        if not 200 <= response.status < 300:
            raise of_answer(response.status, text)
        try:
            answer: Json = json.loads(text)
        except ValueError as error:
            raise UnreachableError(f"{method} {target.path}: not JSON") from error
        return answer
