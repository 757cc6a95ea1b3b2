"""Reach the API server: credentials as kopf takes them, and whole lists of objects."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
import kopf

_PAGE: Final = "500"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)

Raw = Mapping[str, Any]


class ApiAwayError(Exception):
    """The API server does not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A kind of object to follow."""

    group: str
    """Empty for Kubernetes' own core."""
    version: str
    plural: str
    label_selector: str = ""

    def path(self, namespace: str | None) -> str:
        """Where its objects lie; `None` is all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return (
            f"{root}/namespaces/{namespace}/{self.plural}"
            if namespace
            else (f"{root}/{self.plural}")
        )


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Credentials from $KUBECONFIG, else from inside a pod, else from ~/.kube/config.

    Raises:
        kopf.LoginError: there are none.
    """
    info = None
    if "KUBECONFIG" not in os.environ:
        info = kopf.login_with_service_account(settings=settings)
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        if info is not None and host:
            # By address: cluster DNS may be away when the API server is not.
            bracketed = f"[{host}]" if ":" in host else host
            port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            info = replace(info, server=f"https://{bracketed}:{port}")
    info = info or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise kopf.LoginError("no Kubernetes cluster is configured: set KUBECONFIG")
    return info


async def list_all(
    info: kopf.ConnectionInfo, collection: Collection, namespaces: Sequence[str]
) -> tuple[int, list[Raw]]:
    """All objects in `namespaces` (none: in all), and the resourceVersion they are as of.

    Raises:
        ApiAwayError: with the reason.
    """
    connector = aiohttp.TCPConnector(ssl=info.as_ssl_context())
    headers = {**info.as_http_headers(), "Accept": "application/json"}
    try:
        async with aiohttp.ClientSession(
            info.server, connector=connector, headers=headers, timeout=_TIMEOUT
        ) as session:
            lists = [
                await _pages(session, collection.path(namespace), collection.label_selector)
                for namespace in (namespaces or (None,))
            ]
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise ApiAwayError(f"{info.server}: {error or type(error).__name__}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ApiAwayError(f"{info.server}: an answer that is no list: {error!r}") from error
    return min(version for version, _ in lists), [raw for _, raws in lists for raw in raws]


async def apply_status(
    collection: Collection, namespace: str, name: str, manager: str, body: Mapping[str, Any]
) -> None:
    """Server-side apply to the status of one object: only the fields in `body` become ours.

    Raises:
        ApiAwayError: with the reason.
    """
    path = f"{collection.path(namespace)}/{name}/status"
    query = {"fieldManager": manager, "force": "true"}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    await _one("PATCH", path, params=query, data=json.dumps(body), headers=headers)


async def read_object(collection: Collection, namespace: str, name: str) -> Raw:
    """One object.

    Raises:
        ApiAwayError: with the reason.
    """
    path = f"{collection.path(namespace)}/{name}"
    try:
        raw: Raw = json.loads(await _one("GET", path))
    except ValueError as error:
        raise ApiAwayError(f"GET {path}: an answer that is no object: {error}") from error
    return raw


async def _one(method: str, path: str, **more: Any) -> str:
    try:
        info = login(kopf.OperatorSettings())
        connector = aiohttp.TCPConnector(ssl=info.as_ssl_context())
        async with (
            aiohttp.ClientSession(
                info.server,
                connector=connector,
                headers=info.as_http_headers(),
                timeout=_TIMEOUT,
            ) as session,
            session.request(method, path, **more) as response,
        ):
            text = await response.text()
            if response.status not in (200, 201):
                raise ApiAwayError(f"{method} {path}: HTTP {response.status}: {text[:200]}")
            return text
    except (TimeoutError, aiohttp.ClientError, OSError, kopf.LoginError) as error:
        raise ApiAwayError(str(error) or type(error).__name__) from error


async def _pages(session: aiohttp.ClientSession, path: str, selector: str) -> tuple[int, list[Raw]]:
    items: list[Raw] = []
    query = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
    while True:
        async with session.get(path, params=query) as response:
            text = await response.text()
        if response.status != 200:
            raise ApiAwayError(f"GET {path}: HTTP {response.status}: {text[:200]}")
        page = json.loads(text)
        items += page["items"]
        version, more = int(page["metadata"]["resourceVersion"]), page["metadata"].get("continue")
        if not more:
            return version, items
        query["continue"] = more
