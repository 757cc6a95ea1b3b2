"""The fleet that a trace is run against, as options say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mediafleet_common.api.egress.costs import CpuCost, Memory
    from mediafleet_scheduler.simulate.setup import Setup

MOST_PODS = 2000


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """Its pods, and what a job takes of one."""

    pods: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=MOST_PODS, help="Pods of the fleet.")
    ] = 10
    cpu: Annotated[
        float, typer.Option(metavar="CPUS", min=0.1, max=1024, help="CPUs of a pod.")
    ] = 16
    max_cpu_utilization: Annotated[
        float,
        typer.Option(metavar="SHARE", min=0.05, max=1, help="As spec.placement.maxCpuUtilization."),
    ] = 0.8
    max_pulse_clients: Annotated[
        int,
        typer.Option(metavar="COUNT", min=0, help="As spec.placement.maxPulseClients."),
    ] = 60
    max_memory: Annotated[
        float | None,
        typer.Option(metavar="GB", help="As spec.placement.memory.maxGb. Default: not counted."),
    ] = None
    memory_cost: Annotated[
        float, typer.Option(metavar="GB", help="As spec.placement.memory.costGb.")
    ] = 0
    queue: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="As spec.placement.queue.maxWait: the desk lets requests wait."
        ),
    ] = "0s"
    cost: Annotated[
        list[str] | None,
        typer.Option(
            help="CPUs of a type instead of its default; repeatable.", metavar="TYPE=CPUS"
        ),
    ] = None

    def setup(self, seed: int) -> Setup:
        """What the simulator takes.

        Raises:
            typer.BadParameter: an option is wrong.
        """
        from mediafleet_scheduler.simulate.setup import Setup

        return Setup(
            pods=self.pods,
            cpu=self.cpu,
            max_cpu_utilization=self.max_cpu_utilization,
            max_pulse_clients=self.max_pulse_clients,
            memory=_memory(self.max_memory, self.memory_cost),
            costs=_costs(self.cost or []),
            queue_seconds=seconds_of("--queue", self.queue),
            seed=seed,
        )


def seconds_of(option: str, text: str) -> float:
    """A time that an option gives.

    Raises:
        typer.BadParameter: it is none.
    """
    from mediafleet_common.api.durations import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {error}") from error


def _memory(max_gb: float | None, cost_gb: float) -> Memory | None:
    from pydantic import ValidationError

    from mediafleet_common.api.egress.costs import Memory
    from mediafleet_common.api.reading import first_mistake

    if max_gb is None:
        if cost_gb:
            raise typer.BadParameter("--memory-cost needs --max-memory")
        return None
    try:
        return Memory(max_gb=max_gb, cost_gb=cost_gb)
    except ValidationError as error:
        raise typer.BadParameter(f"--max-memory, --memory-cost {first_mistake(error)}") from error


def _costs(pairs: Sequence[str]) -> CpuCost:
    from pydantic import ValidationError

    from mediafleet_common.api.egress.costs import CpuCost
    from mediafleet_common.api.reading import first_mistake

    costs: dict[str, str] = {}
    for pair in pairs:
        kind, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--cost {pair}: write TYPE=CPUS")
        costs[kind] = value
    try:
        return CpuCost.model_validate(costs)
    except ValidationError as error:
        raise typer.BadParameter(f"--cost {first_mistake(error)}") from error
