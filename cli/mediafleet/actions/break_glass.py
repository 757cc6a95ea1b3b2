"""`mediafleet break-glass`: recordings without a desk, and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.options import ClusterOptions

if TYPE_CHECKING:
    from mediafleet_common.kube.client import Api
    from mediafleet_common.redises.endpoints import Redises
    from mediafleet_operator.core.break_glass import Switch


_FILE: Final = "redis.yaml"
"""Key of the chart's ConfigMap of declared Redises."""


def break_glass(
    name: Annotated[str, typer.Argument(metavar="FLEET", help="Name of an EgressFleet.")],
    *,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Its namespace.")
    ] = "default",
    undo: Annotated[bool, typer.Option("--undo", help="Back to the desk, pod by pod.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    cluster: ClusterOptions,
) -> None:
    """Let recordings start without the egress desk, when it does not and nobody knows why.

    Gives every fleet on the Redis of this one engine native: stock pods that livekit-server
    reaches by itself are made at once, as many as the fleet has, beside the old ones, which drain.
    The first recording starts as soon as the first of these pods is Ready. The operator has to be
    up; a desk that still answers, wrongly, is to be scaled to 0.
    """
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_operator.core.break_glass import CannotBreakGlassError

    try:
        done = asyncio.run(_switch(namespace, name, undo, dry_run, cluster))
    except (CannotBreakGlassError, CannotStartError, KubeError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    engine, verb = ("scheduler" if undo else "native"), ("would get" if dry_run else "has")
    for each in done:
        typer.echo(f"{each.namespace}/{each.name} {verb} engine {engine}")
        if each.but is not None:
            typer.echo(f"  but {each.but}", err=True)
    if not done:
        typer.echo(f"nothing to do: all fleets of that Redis have engine {engine}")
    elif not undo and not dry_run:
        typer.echo(f"watch: kubectl -n {namespace} get pods -l mediafleet.dev/fleet={name} -w")
        typer.echo(f"back:  mediafleet break-glass {name} -n {namespace} --undo")


async def _switch(
    namespace: str, name: str, undo: bool, dry_run: bool, cluster: ClusterOptions
) -> list[Switch]:
    from mediafleet_common.api.names import Kind
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.errors import RefusedError
    from mediafleet_common.kube.login import configure
    from mediafleet_operator.core.break_glass import switches
    from mediafleet_operator.core.fleet.model import FleetKey
    from mediafleet_operator.kube import paths

    async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
        try:
            fleets = await api.list_all(paths.fleets(Kind.EGRESS_FLEET, None))
        except RefusedError:
            # Who may not see other namespaces has no fleet there either.
            fleets = await api.list_all(paths.fleets(Kind.EGRESS_FLEET, namespace))
        redises = await _declared(api, namespace)
        wanted = switches(fleets, namespace, name, undo=undo, redises=redises)
        for each in () if dry_run else wanted:
            key = FleetKey(Kind.EGRESS_FLEET, each.namespace, each.name)
            await api.patch(paths.fleet(key), each.patch)
        return wanted


async def _declared(api: Api, namespace: str) -> Redises:
    """The Redises that the chart declares, as far as they may be read."""
    from mediafleet_common.kube.errors import RefusedError
    from mediafleet_common.redises.endpoints import Redises
    from mediafleet_common.redises.endpoints_file import endpoints_in
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_operator.kube import paths

    chosen = {"labelSelector": "app.kubernetes.io/part-of=mediafleet"}
    for where in (None, namespace):
        try:
            found = await api.list_all(paths.collection("v1", "configmaps", where), **chosen)
            texts = [each["data"][_FILE] for each in found if _FILE in (each.get("data") or {})]
            return Redises(tuple(one for text in texts for one in endpoints_in(text, _FILE)))
        except (CannotStartError, RefusedError) as error:
            problem = error
    typer.echo(f"fleets that name that Redis in other words are left out: {problem}", err=True)
    return Redises()
