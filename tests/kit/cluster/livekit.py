"""An unmodified livekit-server in a namespace, as the demo runs it, and LiveKit's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import yaml
from livekit import api
from tests.kit.cluster.product import Product

from mediafleet_testbed.demo.demo import MANIFESTS

START_SECONDS: Final = 60
CLIENT_SECONDS: Final = 60.0
"""By then livekit-server has made its three attempts, of 10, 20 and 40 s, or is at the last."""
PORT: Final = 7880
DEMO_REDIS: Final = "redis.media.svc:6379"


def install(product: Product) -> None:
    """Start it on the product's Redis, and wait until it answers."""
    demo = (MANIFESTS / "livekit.yaml").read_text(encoding="utf-8")
    here = demo.replace("namespace: media", f"namespace: {product.namespace}")
    product.workspace.apply(*yaml.safe_load_all(here.replace(DEMO_REDIS, product.redis)))
    product.workspace.wait(
        "condition=Available", "deployment/livekit", timeout_seconds=START_SECONDS
    )


def url(product: Product) -> str:
    """Where it is called."""
    return f"http://{product.workspace.get('service', 'livekit')['spec']['clusterIP']}:{PORT}"


def key(product: Product) -> tuple[str, str]:
    """API key and secret that it takes."""
    data: dict[str, str] = product.workspace.get("configmap", "livekit")["data"]
    keys: dict[str, str] = yaml.safe_load(data["config.yaml"])["keys"]
    return next(iter(keys.items()))


@asynccontextmanager
async def client(product: Product, seconds: float = CLIENT_SECONDS) -> AsyncIterator[Any]:
    """A `livekit.api.LiveKitAPI` that waits so long for an answer."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    async with api.LiveKitAPI(url(product), *key(product), timeout=timeout) as made:
        yield made


@asynccontextmanager
async def joined(product: Product, room: str, identity: str) -> AsyncIterator[None]:
    """Somebody in a room, without media: what the page that is recorded is to livekit-server."""
    grants = api.VideoGrants(room_join=True, room=room, hidden=True, recorder=True)
    token = api.AccessToken(*key(product)).with_identity(identity).with_grants(grants).to_jwt()
    query = {"access_token": token, "protocol": "9"}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url(product)}/rtc", params=query) as signal,
    ):
        await signal.receive(timeout=START_SECONDS)
        yield
