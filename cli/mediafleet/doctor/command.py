"""`mediafleet doctor`: what is wrong with an installation, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import ClusterOptions, Output, OutputOption

if TYPE_CHECKING:
    from mediafleet.doctor.findings import Finding

_MARKS = {"ok": "[green]ok[/]", "note": "[cyan]note[/]", "unknown": "[yellow]?[/]"}
_PROBLEM = "[bold red]problem[/]"


def doctor(
    *,
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="redis://HOST:PORT",
            help="Examine this Redis of livekit-server, without Kubernetes. Its password, if any, "
            "stands in MEDIAFLEET_REDIS_PASSWORD.",
        ),
    ] = None,
    redis_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The same, by a YAML file with LiveKit's own block `redis`."
        ),
    ] = None,
    workers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Examine this file of an egress desk."),
    ] = None,
    nodes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Examine this file of an advertiser."),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", metavar="NAME", help="Only this namespace; default: all."
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    cluster: ClusterOptions,
) -> None:
    """Examine an installation: what is wrong, and what to do. Changes nothing.

    Without --redis, --workers or --nodes it examines the cluster. Exit status 1: something is
    wrong.
    """
    from mediafleet.doctor.findings import sick

    if redis or redis_config or workers or nodes:
        found = _files(redis, redis_config, workers, nodes)
    else:
        found = _cluster(namespace, cluster)
    _print(found, output)
    raise typer.Exit(int(sick(found)))


def _files(
    redis: str | None, config: Path | None, workers: Path | None, nodes: Path | None
) -> list[Finding]:
    from mediafleet.doctor import files

    found = [each for path in (workers,) if path for each in files.workers(path)]
    found += [each for path in (nodes,) if path for each in files.nodes(path)]
    if redis or config:
        found += asyncio.run(_redis(redis, config))
    return found


async def _redis(url: str | None, config: Path | None) -> list[Finding]:
    import os

    from mediafleet.doctor.redis import examine, look
    from mediafleet_common.serving.run import CannotStartError
    from mediafleet_scheduler.egress.connections import opening
    from mediafleet_scheduler.egress.connections.livekit_block import read_block

    try:
        if url is not None:
            opened = opening.of_url(url, os.environ.get("MEDIAFLEET_REDIS_PASSWORD"))
        else:
            assert config is not None
            opened = opening.of_spec(*read_block(config))
    except CannotStartError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        return list(examine(await look(opened)))
    finally:
        await opened.close()


def _cluster(namespace: str | None, cluster: ClusterOptions) -> list[Finding]:
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.serving.run import CannotStartError

    try:
        return asyncio.run(_examined(namespace, cluster))
    except CannotStartError as error:
        message = str(error)
    except KubeError as error:
        message = f"no cluster is reachable: {error}. Is the right context chosen?"
    typer.echo(
        f"{message}\nWithout a cluster: --redis URL, --workers FILE or --nodes FILE.", err=True
    )
    raise typer.Exit(1)


async def _examined(namespace: str | None, cluster: ClusterOptions) -> list[Finding]:
    from mediafleet.doctor.ask import facts
    from mediafleet.doctor.cluster import examine
    from mediafleet_common.clock import SYSTEM
    from mediafleet_common.kube.client import Api
    from mediafleet_common.kube.login import configure

    async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
        return list(examine(await facts(api, namespace), SYSTEM.unix()))


def _print(findings: Sequence[Finding], output: Output) -> None:
    if output is Output.JSON:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(each) | {"link": each.link} for each in findings], indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_column()
    table.add_column(overflow="fold")
    for each in findings:
        fix = f"\n[dim]→[/] {escape(each.fix)}" if each.fix else ""
        fix += f"\n[dim]  {each.link}[/]" if each.link else ""
        mark = _MARKS.get(each.level, _PROBLEM)
        table.add_row(mark, f"[bold]{escape(each.subject)}[/]: {escape(each.what)}{fix}")
    levels = [each.level.value for each in findings]
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\n{_counted(levels)}")


def _counted(levels: Sequence[str]) -> str:
    problems, notes = levels.count("problem"), levels.count("note")
    parts = [f"{problems} problem{'s' if problems != 1 else ''}"] if problems else []
    parts += [f"{levels.count('unknown')} not examined"] if "unknown" in levels else []
    parts += [f"{notes} note{'s' if notes != 1 else ''}"] if notes else []
    return f"{'; '.join(parts) or 'Nothing is wrong'}, of {len(levels)} findings."
