"""The times and limits of the advertiser, in seconds: section `advertise` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass, field

from mediafleet_common.serving.unary.limits import PortLimits
from mediafleet_scheduler.core.advertise.listing import ProbeRules
from mediafleet_scheduler.directory.sourced import SourceTimes
from mediafleet_scheduler.scaler.times import DemandTimes


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """How often the nodes' loads are read."""

    eager_seconds: float = 1.0
    """Between two readings of a node where the order goes by load."""
    lazy_seconds: float = 5.0
    """The same where load decides nothing but what is full."""
    readings_per_second: float = 100.0
    """For all nodes together; where that is not enough each is read less often."""


@dataclass(frozen=True, slots=True)
class HeadTimes:
    """How long a head is waited for."""

    answer_seconds: float = 5.0
    """A head that has not answered after so long is away. A gateway that waits for less gets its
    answer by then."""
    look_seconds: float = 2.0
    """Between two looks at whether the head answers."""
    look_timeout_seconds: float = 1.0
    """A look without an answer after so long has failed."""


@dataclass(frozen=True, slots=True)
class Times:
    """Defaults are for production; tests shorten them by name."""

    probe: ProbeRules = field(default_factory=ProbeRules)
    """When a node counts as alive or dead, and how often it is asked."""
    probe_timeout_seconds: float = 0.5
    """A node that has not answered a ping within this did not answer."""
    load: LoadTimes = field(default_factory=LoadTimes)
    """How often the nodes' loads are read."""
    head: HeadTimes = field(default_factory=HeadTimes)
    """How long a head is waited for."""
    sources: SourceTimes = field(default_factory=SourceTimes)
    """How often lists of other advertisers are read."""
    demand: DemandTimes = field(default_factory=DemandTimes)
    """How often the demand is read for KEDA and the operator."""
    recent_gateway_seconds: float = 600.0
    """A gateway counts in the metrics for so long after its last question."""
    conditions_seconds: float = 2.0
    """Between two looks at whether the pool's conditions are to be written."""
    conditions_failed_seconds: float = 15.0
    """The same after a write that failed."""
    port: PortLimits = field(default_factory=PortLimits)
    """What callers that anybody may be can cost the port of GetOrchestrator."""
    region_database_seconds: float = 60.0
    """Between two looks at whether the database of regions is another one."""
