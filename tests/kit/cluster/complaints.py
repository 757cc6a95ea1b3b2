"""What our own processes say of themselves: counters and log lines."""

from __future__ import annotations

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from tests.kit.cluster.scene import Scene
from tests.kit.watching import api

from mediafleet_common.api.names import Port
from mediafleet_testbed.story.waiting import until

COMPONENTS = ("operator", "egress", "advertiser")
_SOON_SECONDS = 20.0


async def counted(scene: Scene, component: str, name: str, **labels: str) -> float:
    """Sum of a counter's samples with these labels, over the component's pods."""
    total = 0.0
    for pod in scene.pods.component(component):
        try:
            async with scene.http.get(f"http://{pod.ip}:{Port.DESK_HTTP}/metrics") as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            continue
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
    return total


async def until_counted(
    scene: Scene, component: str, name: str, least: int = 1, **labels: str
) -> None:
    """Wait until a counter, or a gauge of one pod, has come to so much."""
    await until(
        f"{component} counts {name} {labels}",
        lambda: counted(scene, component, name, **labels),
        lambda value: value >= least,
        seconds=_SOON_SECONDS,
    )


async def log(scene: Scene, component: str) -> str:
    """The logs of the component's pods."""
    paths = [f"{api.pods(scene.namespace)}/{pod.name}" for pod in scene.pods.component(component)]
    return "\n".join([await scene.api.text(f"{path}/log") for path in paths])


async def until_logged(scene: Scene, component: str, *words: str) -> str:
    """Wait for a log line that has all the words; that line."""

    async def look() -> str | None:
        lines = (await log(scene, component)).splitlines()
        return next((line for line in lines if all(word in line for word in words)), None)

    found = await until(f"{component} logs {words}", look, bool, seconds=_SOON_SECONDS)
    assert found is not None
    return found


def restarts(scene: Scene) -> dict[str, int]:
    """Containers that were started again, by pod: of ours and of the fleets'."""
    return {pod.name: pod.restarts for pod in scene.pods.pods.values() if pod.restarts}
