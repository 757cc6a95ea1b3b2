"""What jobs really use, beside what is configured: `GET /costs` on a desk's HTTP port, as JSON."""

from __future__ import annotations

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Use


class TypeCost(Model):
    """CPUs of one type of job."""

    type: RequestType
    """Which type."""
    configured: float
    """By the fleet's cpuCost."""
    learned: float
    """What one job uses on average, as far as the pods' load tells."""
    error: float | None
    """Standard error of that; null: the load does not tell it."""
    jobs: int
    """Jobs of the type that it was learnt from."""
    sure: bool
    """Whether it was enough jobs, with a small error."""
    sent: float | None = None
    """What is sent along as estimated_cpu; null: nothing, cpuCost counts."""


class FleetCosts(Model):
    """What was learnt of one fleet."""

    namespace: str
    """Empty for a fleet from a file."""
    name: str
    """Name of the fleet."""
    use: Use
    """What is done with it."""
    base_cpus: float
    """CPUs that a pod with jobs uses beside them."""
    observations: int
    """How many mixtures of jobs were looked at."""
    types: list[TypeCost] = Field(default_factory=list)
    """The types that were seen."""


class LearnedReport(Model):
    """All fleets that a desk serves."""

    fleets: list[FleetCosts]
    """By namespace and name."""
