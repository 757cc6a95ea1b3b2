"""`mediafleet rollout status NAME`: how far a change of the template has come, until it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from mediafleet.options import OTHER_NAMESPACE, ClusterOptions
from mediafleet.tools.status_view import being_deleted
from mediafleet_common.api.names import FLEET_KINDS, KIND_LABELS, Condition, Kind, Label, Reason

Raw = Mapping[str, Any]
_LOOK_EVERY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is."""

    text: str
    done: bool = False
    stopped: bool = False
    """It goes no further by itself."""


def status(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a fleet or pool.")],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace.")
    ] = "default",
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Whether to follow it until it is done.")
    ] = True,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Stop following after so long; 0: never.")
    ] = 0.0,
    cluster: ClusterOptions,
) -> None:
    """Follow a rollout: pods of the new template, pods of the old one that still drain.

    Exit status 0: done. 1: it is stopped, not done in time, or there is none of that name.
    """
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.serving.run import CannotStartError

    try:
        done = asyncio.run(_follow(namespace, name, cluster, watch=watch, timeout=timeout))
    except TimeoutError:
        typer.echo(f"not done after {timeout:g} s; it goes on", err=True)
        done = False
    except (KubeError, CannotStartError) as error:
        typer.echo(str(error), err=True)
        done = False
    except KeyboardInterrupt:
        return
    raise typer.Exit(int(not done))


async def _follow(
    namespace: str, name: str, cluster: ClusterOptions, *, watch: bool, timeout: float
) -> bool:
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.errors import GoneError
    from mediafleet_common.kube.login import configure
    from mediafleet_operator.core.fleet.model import FleetKey
    from mediafleet_operator.kube import paths

    before = ""
    async with (
        asyncio.timeout(timeout or None),
        Api(await configure(cluster.kubeconfig, cluster.context)) as api,
    ):
        while True:
            for kind in FLEET_KINDS:
                try:
                    raw = await api.get(paths.fleet(FleetKey(kind, namespace, name)))
                except GoneError:
                    continue
                break
            else:
                raise GoneError(
                    f"no fleet or pool {name} in namespace {namespace}: {OTHER_NAMESPACE}"
                )
            selector = f"{Label.KIND}={KIND_LABELS[kind]},{Label.FLEET}={name}"
            pods = await api.list_all(paths.pods(namespace), labelSelector=selector)
            now = progress({"kind": kind.value, **raw}, pods)
            if now.text != before:
                typer.echo(now.text)
                before = now.text
            if now.done or now.stopped or not watch:
                return now.done
            await asyncio.sleep(_LOOK_EVERY_SECONDS)


def progress(raw: Raw, pods: Sequence[Raw]) -> Progress:
    """How far it is, in one line."""
    who = f"{Kind(raw['kind'])} {raw['metadata']['name']}"
    told = raw.get("status") or {}
    going = being_deleted(raw["metadata"])
    if going is not None:
        return Progress(f"{who}: {going}", stopped=True)
    if told.get("observedGeneration") != raw["metadata"].get("generation"):
        return Progress(f"{who}: the operator has not seen the last change yet")
    conditions = {each["type"]: each for each in told.get("conditions") or ()}
    moving = conditions.get(Condition.PROGRESSING, {})
    if moving.get("reason") == Reason.ROLLOUT_STOPPED:
        return Progress(f"{who}: stopped: {moving.get('message', '')}", stopped=True)
    if conditions.get(Condition.PAUSED, {}).get("status") == "True":
        return Progress(f"{who}: paused (spec.paused): pods are left as they are", stopped=True)
    wanted = (raw.get("spec") or {}).get("replicas") or 0
    ready, draining = told.get("readyReplicas") or 0, told.get("draining") or 0
    if moving.get("status") != "True" and not draining and ready >= wanted:
        return Progress(f"{who}: done, {ready} of {wanted} pods are Ready", done=True)
    templates = {(each["metadata"].get("labels") or {}).get(Label.TEMPLATE) for each in pods}
    kinds = f" of {len(templates)} templates" if len(templates) > 1 else ""
    drains = f", {draining} draining" if draining else ""
    why = f": {moving['message']}" if moving.get("status") == "True" else ""
    return Progress(f"{who}: {len(pods)} pods{kinds}, {ready} of {wanted} Ready{drains}{why}")
