"""`mediafleet status`: fleets, their pods, who drains and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediafleet.options import ClusterOptions
from mediafleet.tools.asking import TokenOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mediafleet.tools.status_view import FleetLine, PodLine
    from mediafleet_common.kube.client import Api

_COLOURS = {"ready": "green", "draining": "yellow", "going": "dim", "not ready": "red"}


class Output(StrEnum):
    """Forms of output."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only the fleet or pool of this name.")
    ] = None,
    *,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Only this namespace; default: all."
        ),
    ] = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="All namespaces (the default).")
    ] = False,
    output: Annotated[
        Output,
        typer.Option("--output", "-o", metavar="table|wide|json|yaml", help="Form of output."),
    ] = Output.TABLE,
    desk: Annotated[
        str | None,
        typer.Option(
            help="Show instead what the desk that runs there sees, also without Kubernetes. Of an "
            "egress desk: workers, jobs, who waits and why, and what jobs really use. Of an "
            "advertiser: nodes, which of them gateways get, and why not the others.",
            metavar="http://HOST:PORT",
        ),
    ] = None,
    token: TokenOption = None,
    cluster: ClusterOptions,
) -> None:
    """Show fleets and pools: pods, load, who drains, since when and why, and what is wrong."""
    if desk is not None:
        from mediafleet.tools import costs, desk_view, nodes_view
        from mediafleet.tools.asking import fetch_if_there

        nodes = fetch_if_there("--desk", desk, "/nodes", token=token)
        if nodes is not None:
            nodes_view.show(nodes, desk, token, as_json=output is Output.JSON)
            return
        if output is not Output.JSON:
            desk_view.show(desk, name, token)
        costs.show(desk, name, token, as_json=output is Output.JSON)
        return
    from mediafleet.tools.status_view import lines
    from mediafleet_common.clock import SYSTEM

    if all_namespaces and namespace:
        raise typer.BadParameter("give -n or -A, not both")
    resources, pods = _fetch(namespace, cluster)
    fleets = lines(resources, pods, SYSTEM.unix())
    if name is not None:
        fleets = [each for each in fleets if each.name == name]
        if not fleets:
            where = "" if namespace is None else f" in namespace {namespace}"
            typer.echo(f"no fleet or pool is called {name}{where}", err=True)
            raise typer.Exit(1)
    _print(fleets, output, namespace)


def _fetch(
    namespace: str | None, cluster: ClusterOptions
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from mediafleet_common.kube.errors import GoneError, KubeError, RefusedError
    from mediafleet_common.serving.run import CannotStartError

    try:
        return asyncio.run(_list(namespace, cluster))
    except CannotStartError as error:
        message = str(error)
    except GoneError:
        message = "this cluster does not know our resources: kubectl apply -f crds/"
    except RefusedError as error:
        message = f"{error}. Give -n NAMESPACE, or ask for the right to list there."
    except KubeError as error:
        message = f"no cluster is reachable: {error}. Is the right context chosen?"
    typer.echo(message, err=True)
    raise typer.Exit(1)


async def _list(
    namespace: str | None, cluster: ClusterOptions
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.login import configure

    async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
        return await listed(api, namespace)


async def listed(
    api: Api, namespace: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Fleets and pools, each with its kind, and their pods.

    Raises:
        KubeError: they cannot be listed.
    """
    from mediafleet_common.api.names import FLEET_KINDS, Label
    from mediafleet_operator.kube import paths

    lists = [api.list_all(paths.fleets(kind, namespace)) for kind in FLEET_KINDS]
    pods = api.list_all(paths.pods(namespace), labelSelector=Label.KIND.value)
    *resources, found = await asyncio.gather(*lists, pods)
    # Items of a list do not say of which kind they are.
    named = [
        {"kind": kind.value, **each}
        for kind, of in zip(FLEET_KINDS, resources, strict=True)
        for each in of
    ]
    return named, found


def _print(fleets: Sequence[FleetLine], output: Output, namespace: str | None) -> None:
    from mediafleet.tools.status_view import as_data

    if output is Output.JSON:
        import json

        typer.echo(json.dumps(as_data(fleets), indent=2))
    elif output is Output.YAML:
        import yaml

        typer.echo(yaml.safe_dump(as_data(fleets), sort_keys=False), nl=False)
    elif not fleets:
        where = "" if namespace is None else f" in namespace {namespace}"
        typer.echo(f"There is no fleet and no pool{where}; samples/ has some to begin with.")
    else:
        from rich.console import Console

        console = Console(highlight=False)
        for each in fleets:
            for part in _shown(each, wide=output is Output.WIDE):
                console.print(part)


def _shown(fleet: FleetLine, *, wide: bool) -> list[RenderableType]:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from mediafleet.tools.status_view import WORK
    from mediafleet_common.api.names import Kind

    wanted = "?" if fleet.wanted is None else fleet.wanted
    facts = [f"{fleet.ready} of {wanted} Ready"]
    facts += [f"{fleet.draining} draining"] if fleet.draining else []
    facts += [f"mode {fleet.mode}"] if fleet.mode else []
    facts += [f"{fleet.listed} listed"] if fleet.listed is not None else []
    work, _ = WORK[Kind(fleet.kind)]
    facts.append(f"{'unknown' if fleet.load is None else fleet.load} {work}")
    head = f"[bold]{fleet.kind} {fleet.namespace}/{fleet.name}[/bold]  {', '.join(facts)}"
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = ["POD", "STATE", work.upper(), "AGE", "DRAINS", "WHY"]
    for column in columns + (["NODE", "ADDRESS"] if wide else []):
        table.add_column(column, justify="right" if column == work.upper() else "left")
    for pod in fleet.pods:
        table.add_row(*_cells(pod, wide=wide))
    notes = [Padding(f"[yellow]![/yellow] {escape(note)}", (0, 2)) for note in fleet.notes]
    return [head, *notes, *([Padding(table, (0, 2))] if fleet.pods else []), ""]


def _cells(pod: PodLine, *, wide: bool) -> list[str]:
    from mediafleet.tools.status_view import duration, since_seconds
    from mediafleet_common.clock import SYSTEM

    colour = _COLOURS.get(pod.state, "default")
    cells = [
        pod.name,
        f"[{colour}]{pod.state}[/{colour}]",
        # A pod that has never been Ready has no load to know.
        ("" if pod.state == "pending" else "?") if pod.load is None else str(pod.load),
        duration(pod.age_seconds),
        duration(since_seconds(pod.since, SYSTEM.unix())) if pod.since else "",
        pod.why or "",
    ]
    return cells + ([pod.node or "", pod.address or ""] if wide else [])
