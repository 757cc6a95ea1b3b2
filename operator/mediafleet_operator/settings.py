"""The times and limits of the operator, in seconds: section `operator` of the settings file."""

from __future__ import annotations

from dataclasses import dataclass, field

from mediafleet_common.kube.pace import WriteLimits


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """How often pods are asked for their load."""

    often_seconds: float = 1.0
    """Between two questions to a pod whose load decides something: it drains, or may leave next."""
    rarely_seconds: float = 15.0
    """The same for other pods. A load older than 60 s counts as unknown."""
    silent_seconds: float = 60.0
    """The same at most for pods whose load stays unknown: the pause doubles each time. A choice \
among them asks at once."""
    silent_per_second: float = 20.0
    """Of all these at most so many are asked a second, however long that makes the pause."""
    idle_seconds: float = 45.0
    """The same at most for pods that were idle and told nothing new: among thousands of them the \
pause is longer than among few."""
    idle_per_second: float = 100.0
    """Of all these at most so many are asked a second, as far as that pause allows."""


@dataclass(frozen=True, slots=True)
class DemandTimes:
    """How often desks are asked for the demand of fleets that scale."""

    often_seconds: float = 1.0
    """Between two questions while a fleet scales, or has no pods."""
    shared_seconds: float = 2.0
    """The same at rest for the egress desk: one question is for all fleets."""
    own_seconds: float = 3.0
    """The same at rest for advertisers: each pool has its own."""
    first_pause_seconds: float = 2.0
    """After the first question that was not answered; doubled each time."""
    max_pause_seconds: float = 5.0
    """The longest such pause."""
    valid_seconds: float = 8.0
    """An answer counts for so long, then the demand is unknown."""
    review_seconds: float = 5.0
    """Between two looks at a fleet at rest: time alone changes what its policy wants."""


@dataclass(frozen=True, slots=True)
class Times:
    """Defaults are for production; tests shorten them by name."""

    probe: ProbeTimes = field(default_factory=ProbeTimes)
    """How often pods are asked for their load."""
    demand: DemandTimes = field(default_factory=DemandTimes)
    """How often desks are asked for demand."""
    resync_seconds: float = 300.0
    """Between two listings of everything, beside the watch."""
    children_seconds: float = 300.0
    """Between two looks at whether a fleet's Services, budget and advertiser are still right."""
    scalers_seconds: float = 15.0
    """Between two looks at whether a fleet's ScaledObject or HPA is still right."""
    status_seconds: float = 1.0
    """Between two writes of the status of a fleet that keeps changing."""
    status_first_seconds: float = 5.0
    """Before the first status of a new resource at most, while its pods start."""
    status_change_seconds: float = 10.0
    """Before the first status of a changed resource at most, while its pods start or leave: what \
came of the change is then told in one write."""
    status_load_seconds: float = 5.0
    """Between two writes of a status in which only loads differ."""
    writes: WriteLimits = field(default_factory=WriteLimits)
    """How fast the API server is written to."""
    rest_seconds_per_pod: float = 0.0025
    """A fleet whose pods keep changing is looked at again after so long for each of its pods, so \
that the changes of many make one round; at most 0.25 s."""
    workers: int = 8
    """Fleets that are worked on at once."""
