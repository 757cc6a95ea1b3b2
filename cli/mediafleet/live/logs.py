"""`mediafleet logs --why EGRESS_ID`: where a job was, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mediafleet.options import ClusterOptions, Output, OutputOption
from mediafleet.tools.asking import TokenOption, fetch, not_a_desk

if TYPE_CHECKING:
    from mediafleet_common.reports.job import JobExplained, JobsExplained

Raw = Mapping[str, Any]


def logs(
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="EGRESS_ID", help="The job, e.g. EG_3xKk9Jq2.")
    ],
    desk: Annotated[
        str,
        typer.Option(metavar="http://HOST:PORT", help="The --http address of an egress desk."),
    ] = "http://127.0.0.1:8080",
    token: TokenOption = None,
    events: Annotated[
        bool, typer.Option("--events/--no-events", help="Whether to look for Events in a cluster.")
    ] = True,
    output: OutputOption = Output.TABLE,
    cluster: ClusterOptions,
) -> None:
    """Show where a job was, and what became of it: from the desk's ledger, and Events.

    In a cluster: kubectl port-forward deploy/mediafleet-egress 8080 first, and --token of an
    account that chart value reports.accounts names. Events are read as the kubeconfig's user, who
    must be allowed to list events (events.k8s.io) in the job's namespace; in all, where the desk
    does not know the job. Exit status 1: nothing is known of it.
    """
    import json

    from pydantic import ValidationError

    from mediafleet_common.reports.job import JobsExplained

    text = fetch("--desk", desk, "/explain", [("job", why)], token)
    try:
        known = JobsExplained.model_validate_json(text)
    except ValidationError as error:
        raise not_a_desk(desk) from error
    found = (
        _events(cluster, [each.fleet.partition("/")[0] for each in known.jobs]) if events else []
    )
    about = [] if isinstance(found, str) else told(found, why, [each.pod for each in known.jobs])
    if output is Output.JSON:
        typer.echo(json.dumps({**known.model_dump(mode="json"), "events": about}, indent=2))
    else:
        for line in lines(why, known):
            typer.echo(line)
        for line in [f"no Events: {found}"] if isinstance(found, str) else about:
            typer.echo(f"  {line}")
    raise typer.Exit(int(not known.jobs and not about))


def lines(egress_id: str, known: JobsExplained) -> Iterator[str]:
    """What the ledger knows, for people."""
    for each in known.jobs:
        yield from _lines(each)
    if not known.jobs:
        kept = known.kept_seconds // 60
        yield f"{egress_id}: the desk does not know it; jobs that are over are kept {kept} min"
    for why in known.unread:
        yield f"  a ledger could not be asked: {why}"


def _lines(job: JobExplained) -> Iterator[str]:
    from mediafleet_common.formats.times import rfc3339

    where = f"on {job.pod}" if job.pod else "on no pod yet"
    yield f"{job.id}: {job.state.value}, {job.type}, {where}, fleet {job.fleet}"
    since = "waits for room since" if job.pod is None else "given to the pod at"
    yield f"  {since} {rfc3339(job.since)}, counted with {job.cores:g} CPUs"
    if job.started is not None:
        took = job.started - job.since
        yield f"  the pod said yes at {rfc3339(job.started)}, {took:.2f} s later"
    elif job.pod is not None and job.error is None:
        yield "  the pod has not answered" if job.state != "ended" else "  the pod never said yes"
    if job.error is not None:
        yield f"  the start failed: {job.error}"


def told(events: Sequence[Raw], egress_id: str, pods: Sequence[str | None]) -> list[str]:
    """Events that name the job or are about its pod, a line each, by time."""
    about = [
        (str(event.get("eventTime") or event.get("deprecatedLastTimestamp") or ""), event)
        for event in events
        if egress_id in str(event.get("note", ""))
        or (event.get("regarding") or {}).get("name") in [pod for pod in pods if pod]
    ]
    return [
        f"{at} {event.get('reason', '')} {(event.get('regarding') or {}).get('name', '')}: "
        f"{event.get('note', '')}".lstrip()
        for at, event in sorted(about, key=lambda each: each[0])
    ]


def _events(cluster: ClusterOptions, namespaces: Sequence[str]) -> list[dict[str, Any]] | str:
    """Those of the namespaces; of all, where none is named. A text: why they cannot be read."""
    from mediafleet_common.kube.errors import KubeError
    from mediafleet_common.serving.run import CannotStartError

    async def listed() -> list[dict[str, Any]]:
        from mediafleet_common.kube.client import Api
        from mediafleet_common.kube.login import configure
        from mediafleet_common.kube.paths import Collection

        events = Collection("events.k8s.io", "v1", "events")
        where: set[str | None] = {*namespaces} or {None}
        async with Api(await configure(cluster.kubeconfig, cluster.context)) as api:
            lists = [await api.list_all(events.inside(each)) for each in where]
        return [event for each in lists for event in each]

    try:
        return asyncio.run(listed())
    except (KubeError, CannotStartError) as error:
        return str(error)
