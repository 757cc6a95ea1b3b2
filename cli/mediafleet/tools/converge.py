"""`mediafleet converge`: what workers report, beside what the kernel and the chain have of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mediafleet.tools.asking import fetch
from mediafleet_common.clock import SYSTEM

if TYPE_CHECKING:
    from mediafleet_scheduler.core.community.checks.convergence import Comparison
    from mediafleet_scheduler.core.community.checks.samples import Counter, Sample
    from mediafleet_scheduler.core.community.checks.tickets import Ticket

_BYTES: Final = "Bytes and minutes"
_TICKETS: Final = "Tickets"
_LOOKS: Final = 12


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A worker, and who counts its bytes."""

    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="HTTP port of a node's agent, behind its drain proxy; repeatable.",
            rich_help_panel=_BYTES,
        ),
    ] = None
    seconds: Annotated[
        float,
        typer.Option(min=1, max=86_400, help="How long to look.", rich_help_panel=_BYTES),
    ] = 60.0
    kubelet: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="kubectl proxy, for kubelet's count of --pod in place of the agent's own.",
            rich_help_panel=_BYTES,
        ),
    ] = None
    pod: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME", help="The pod of the one --agent.", rich_help_panel=_BYTES
        ),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if (self.kubelet is None) != (self.pod is None):
            raise typer.BadParameter("--kubelet and --pod go together")
        if self.pod is not None and len(self.agent or ()) != 1:
            raise typer.BadParameter("--pod needs exactly one --agent")


@dataclass(frozen=True, slots=True)
class TicketOptions:
    """A claim of pixels, and where tickets are."""

    tickets: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Winning tickets: a file with what eth_getLogs answered, or an RPC to ask.",
            rich_help_panel=_TICKETS,
        ),
    ] = None
    recipient: Annotated[
        str | None,
        typer.Option(metavar="0x...", help="Whom the tickets are for.", rich_help_panel=_TICKETS),
    ] = None
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="0x...",
            help="Contract TicketBroker, where an RPC is asked.",
            rich_help_panel=_TICKETS,
        ),
    ] = None
    from_block: Annotated[
        int | None,
        typer.Option(help="First block, where an RPC is asked.", rich_help_panel=_TICKETS),
    ] = None
    pixels: Annotated[
        float | None,
        typer.Option(help="Pixels that are claimed for that time.", rich_help_panel=_TICKETS),
    ] = None
    wei_per_pixel: Annotated[
        float | None,
        typer.Option(help="What a pixel costs.", rich_help_panel=_TICKETS),
    ] = None

    def check(self) -> None:
        """Raise typer.BadParameter where they do not go together."""
        if self.tickets is None:
            return
        if self.recipient is None:
            raise typer.BadParameter("--tickets needs --recipient")
        if self.is_rpc and (self.broker is None or self.from_block is None):
            raise typer.BadParameter("an RPC needs --broker and --from-block")

    @property
    def is_rpc(self) -> bool:
        """Whether tickets are asked for."""
        return (self.tickets or "").startswith(("http://", "https://"))


def converge(*, network: NetworkOptions, chain: TicketOptions) -> None:
    """Compare what workers report with what the kernel counts, and claims with winning tickets.

    Each line has both figures, their ratio and the band in which it is expected. Exit status 1:
    something is outside of it. What one side does not tell is "not measurable"; of fewer than 30
    tickets the line says "not enough".
    """
    network.check()
    chain.check()
    if not network.agent and chain.tickets is None:
        raise typer.BadParameter("give --agent URL or --tickets FILE|URL")
    found = [(url, each) for url in network.agent or () for each in _bytes(url, network)]
    if chain.tickets is not None:
        found.append((chain.recipient or "", _claim(chain)))
    for subject, each in found:
        typer.echo(f"{subject}: {each.text}")
    if any(each.verdict == "outside" for _, each in found):
        raise typer.Exit(1)


def _bytes(url: str, network: NetworkOptions) -> list[Comparison]:
    from mediafleet_scheduler.core.community.checks.samples import comparisons

    samples = [_sample(url, network)]
    for _ in range(_LOOKS):
        time.sleep(network.seconds / _LOOKS)
        samples.append(_sample(url, network))
    return comparisons(samples)


def _sample(url: str, network: NetworkOptions) -> Sample:
    from mediafleet_common.probes.load import Source, UnreadableMetricsError, parse
    from mediafleet_scheduler.core.community.checks.samples import Sample

    text = fetch("--agent", url, "/metrics")
    try:
        jobs = parse(text, Source.REQUESTS).jobs
        reported = _counter(text, "mediafleet_agent_proxy_bytes_total")
        counted = _counter(text, "mediafleet_agent_network_bytes_total")
    except UnreadableMetricsError:
        return Sample()
    if network.kubelet is not None:
        counted = _by_kubelet(network.kubelet, network.pod or "")
    return Sample(reported, counted, None if jobs is None else jobs > 0)


def _counter(text: str, name: str) -> Counter | None:
    from mediafleet_common.probes.exposition import read
    from mediafleet_scheduler.core.community.checks.samples import Counter

    found = read(text.encode(), (name,))
    return Counter(SYSTEM.unix(), sum(each.value for each in found)) if found else None


def _by_kubelet(url: str, pod: str) -> Counter | None:
    from mediafleet_scheduler.core.community.checks.samples import network_of

    namespace, _, name = pod.partition("/")
    path = f"/api/v1/namespaces/{namespace}/pods/{name}"
    node = json.loads(fetch("--kubelet", url, path))["spec"]["nodeName"]
    summary = fetch("--kubelet", url, f"/api/v1/nodes/{node}/proxy/stats/summary")
    return network_of(json.loads(summary), namespace, name)


def _claim(chain: TicketOptions) -> Comparison:
    from mediafleet_scheduler.core.community.checks.tickets import judge

    recipient = (chain.recipient or "").lower()
    mine = [each for each in _tickets(chain) if each.recipient == recipient]
    return judge(chain.pixels, chain.wei_per_pixel, mine)


def _tickets(chain: TicketOptions) -> list[Ticket]:
    import asyncio

    from mediafleet_scheduler.community.tickets.rpc import NoTicketsError
    from mediafleet_scheduler.community.tickets.winning import Winning

    where = Winning(chain.tickets or "", chain.broker, SYSTEM, chain.recipient, chain.from_block)
    try:
        return asyncio.run(where.tickets())
    except NoTicketsError as error:
        typer.echo(f"--tickets: {error}", err=True)
        raise typer.Exit(1) from error
