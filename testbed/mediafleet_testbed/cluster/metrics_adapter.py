"""A metrics adapter that says what a test says: `external.metrics.k8s.io`, aggregated for real.

    async with MetricsAdapter(node, folder) as adapter:
        adapter.values["mediafleet_autoscaling_demand"] = 20.0

It is a server in the test's own process, inside the node's network. A metric that `values` does not
have is none, as when an adapter finds no series. Shapes: kubernetes
staging/src/k8s.io/metrics/pkg/apis/external_metrics/v1beta1/types.go.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from mediafleet_testbed.node import NODE_IP, Authority, Node
from mediafleet_testbed.waiting import wait_for

API: Final = "v1beta1.external.metrics.k8s.io"
GROUP_VERSION: Final = "external.metrics.k8s.io/v1beta1"
_ROOT: Final = f"/apis/{GROUP_VERSION}"
_NAMESPACE: Final = "kube-system"
_SERVICE: Final = "test-metrics-adapter"
_PORT: Final = 6445
_READY_SECONDS: Final = 60.0


class MetricsAdapter:
    """Serves numbers to the HPA controller, as an async context manager."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.values: dict[str, float] = {}
        self.asked: dict[str, int] = {}
        """How often each metric was asked for: an HPA asks once a sync."""
        self._node = node
        self._folder = folder
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        authority = Authority("metrics-adapter")
        host = f"{_SERVICE}.{_NAMESPACE}.svc"
        authority.issue(_SERVICE, hosts=(host,)).write(self._folder, "adapter")
        await self._listen()
        await asyncio.to_thread(self._register, authority.pair.certificate_pem)
        await asyncio.to_thread(
            wait_for, "the adapter is available", self._available, timeout_seconds=_READY_SECONDS
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An API that nobody serves would hold up whatever lists all APIs.
        await asyncio.to_thread(
            self._node.kubectl, "delete", "apiservice", API, "--ignore-not-found"
        )
        if self._runner is not None:
            await self._runner.cleanup()

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_get("/apis", self._none)
        app.router.add_get(_ROOT, self._resources)
        app.router.add_get(_ROOT + "/namespaces/{namespace}/{metric}", self._metric)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self._folder / "adapter.crt", self._folder / "adapter.key")
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, NODE_IP, _PORT, ssl_context=tls).start()

    async def _none(self, _: web.Request) -> web.Response:
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})

    async def _resources(self, _: web.Request) -> web.Response:
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION}
        return web.json_response({**body, "resources": []})

    async def _metric(self, request: web.Request) -> web.Response:
        name = request.match_info["metric"]
        self.asked[name] = self.asked.get(name, 0) + 1
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        items: list[dict[str, Any]] = []
        if name in self.values:
            value = f"{round(self.values[name] * 1000)}m"
            labels: dict[str, str] = {}
            items = [{"metricName": name, "metricLabels": labels, "timestamp": now, "value": value}]
        return web.json_response(
            {
                "kind": "ExternalMetricValueList",
                "apiVersion": GROUP_VERSION,
                "metadata": {},
                "items": items,
            }
        )

    def _register(self, ca: bytes) -> None:
        named = {"name": _SERVICE, "namespace": _NAMESPACE}
        self._node.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": named,
                "spec": {"ports": [{"name": "https", "port": 443, "targetPort": _PORT}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**named, "labels": {"kubernetes.io/service-name": _SERVICE}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [NODE_IP]}],
                "ports": [{"name": "https", "port": _PORT}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": API},
                "spec": {
                    "service": named,
                    "group": "external.metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "caBundle": base64.b64encode(ca).decode(),
                },
            },
        )

    def _available(self) -> bool:
        found = self._node.get("apiservice", API).get("status", {}).get("conditions", [])
        return any(c["type"] == "Available" and c["status"] == "True" for c in found)
