"""`mediafleet drain`: take one pod out of its fleet, safely, and watch it go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mediafleet.options import OTHER_NAMESPACE, ClusterOptions
from mediafleet_common.api.names import Annotation, Kind, Label

if TYPE_CHECKING:
    from mediafleet_common.kube.client import Api

_LOOK_EVERY_SECONDS: Final = 1.0
Raw = Mapping[str, Any]


class NotOursError(Exception):
    """The pod is of no fleet and no pool."""


def drain(
    pod: Annotated[str, typer.Argument(metavar="POD", help="Name of a pod of a fleet or pool.")],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace.")
    ] = "default",
    undo: Annotated[bool, typer.Option("--undo", help="Let it take work again.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Whether to follow it until it is gone.")
    ] = True,
    cluster: ClusterOptions,
) -> None:
    """Take one pod out of its fleet: no new work, wait until it is idle, delete, replace.

    A replacement is made first. To stop waiting is no harm: the drain goes on.
    """
    from mediafleet_common.kube.errors import GoneError, KubeError
    from mediafleet_common.serving.run import CannotStartError

    try:
        asyncio.run(_drain(namespace, pod, cluster, undo=undo, wait=wait))
    except GoneError:
        typer.echo(f"no pod {pod} in namespace {namespace}: {OTHER_NAMESPACE}", err=True)
    except (NotOursError, CannotStartError, KubeError) as error:
        typer.echo(str(error), err=True)
    except KeyboardInterrupt:
        typer.echo(f"the drain goes on; to end it: mediafleet drain {pod} -n {namespace} --undo")
        return
    else:
        return
    raise typer.Exit(1)


async def _drain(
    namespace: str, pod: str, cluster: ClusterOptions, *, undo: bool, wait: bool
) -> None:
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.login import configure

    async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
        uid = await mark(api, namespace, pod, cordoned=not undo)
        if undo:
            typer.echo(f"{pod} may take work again, if its fleet has room for it")
            return
        typer.echo(f"{pod} is cordoned")
        if wait:
            async for line in follow(api, namespace, pod, uid):
                typer.echo(line)


async def mark(api: Api, namespace: str, pod: str, *, cordoned: bool) -> str:
    """Cordon a pod of ours, or take that back; its uid.

    Raises:
        NotOursError: it is of no fleet or pool.
        KubeError: there is none of that name, or the API server refuses.
    """
    from mediafleet_operator.kube import paths

    target = paths.pods(namespace).item(pod)
    meta = (await api.get(target))["metadata"]
    if Label.FLEET not in (meta.get("labels") or {}):
        raise NotOursError(
            f"{namespace}/{pod} is of no fleet and no pool: it has no label {Label.FLEET}"
        )
    value = "true" if cordoned else None
    await api.patch(target, {"metadata": {"annotations": {Annotation.CORDONED: value}}})
    return str(meta["uid"])


async def follow(
    api: Api, namespace: str, pod: str, uid: str, every_seconds: float = _LOOK_EVERY_SECONDS
) -> AsyncIterator[str]:
    """What becomes of a pod, a line for each change, until it is gone.

    Raises:
        KubeError: the API server cannot be asked.
    """
    from mediafleet_common.kube.errors import GoneError
    from mediafleet_operator.kube import paths

    before = ""
    while True:
        try:
            raw = await api.get(paths.pods(namespace).item(pod))
        except GoneError:
            raw = None
        if raw is None or raw["metadata"]["uid"] != uid:
            yield f"{pod} is gone"
            return
        line = state(raw, await _load(api, raw))
        if line != before:
            yield line
            before = line
        await asyncio.sleep(every_seconds)


async def _load(api: Api, pod: Raw) -> int | None:
    """Jobs, sessions or tasks of a pod, as its fleet's status tells them; `None`: unknown."""
    from mediafleet_common.api.names import KIND_LABELS
    from mediafleet_common.kube.errors import GoneError
    from mediafleet_operator.core.fleet.model import FleetKey
    from mediafleet_operator.kube import paths

    meta = pod["metadata"]
    kinds: dict[str, Kind] = {label.value: kind for kind, label in KIND_LABELS.items()}
    kind = kinds[meta["labels"][Label.KIND]]
    try:
        fleet = await api.get(
            paths.fleet(FleetKey(kind, meta["namespace"], meta["labels"][Label.FLEET]))
        )
    except GoneError:
        return None
    reported = (fleet.get("status") or {}).get("pods") or ()
    loads = {each["name"]: each.get("load") for each in reported}
    return loads.get(meta["name"])


def state(pod: Raw, load: int | None) -> str:
    """One line: what a pod does now."""
    meta = pod["metadata"]
    work = "unknown load" if load is None else f"{load} jobs, sessions or tasks"
    if "deletionTimestamp" in meta:
        return f"{meta['name']} is being deleted"
    label = meta["labels"].get(Label.STATE, "?")
    return f"{meta['name']} is {label}, {work}"
