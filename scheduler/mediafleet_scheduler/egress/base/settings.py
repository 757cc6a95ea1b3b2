"""The desk's own settings: times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from mediafleet_scheduler.core.egress.accounting.lost_jobs import Patience
from mediafleet_scheduler.core.egress.quarantine import Rules
from mediafleet_scheduler.core.egress.queue import KEEP_SECONDS
from mediafleet_scheduler.core.psrpc.turns import TurnTimes
from mediafleet_scheduler.psrpc.times import BusTimes
from mediafleet_scheduler.scaler.times import DemandTimes


@dataclass(frozen=True, slots=True)
class RedisTimes:
    """How long a Redis is waited for."""

    connect_seconds: float = 2.0
    """A connection that does not stand after so long has failed."""
    answer_seconds: float = 5.0
    """A command without an answer after so long has failed."""
    start_seconds: float = 30.0
    """A Redis that does not answer yet is waited for so long; then it counts as a failure."""
    max_pause_seconds: float = 30.0
    """After failures it is tried again with pauses that grow from 1 s up to this."""


@dataclass(frozen=True, slots=True)
class LedgerTimes:
    """How long the ledger in Redis is waited for, and how long it is kept."""

    answer_seconds: float = 5.0
    """A call without an answer after so long has failed, its turn before it included: a claim that
    waits longer helps nobody."""
    keep_ended_seconds: int = 120
    """The id of a job that is over stays taken for so long: a client's last retry comes sooner."""
    keep_ledger_seconds: int = 7 * 86400
    """A ledger that no desk has looked at for so long is forgotten."""
    write_attempts: int = 8
    """A write that nobody waits for is given up after so many attempts: then the pods are asked."""
    max_write_pause_seconds: float = 5.0
    """The pauses between them grow from 0.1 s up to this."""


@dataclass(frozen=True, slots=True)
class LostTimes:
    """How a lost job is seen to."""

    hold_seconds: int = 300
    """Of several desks the one that takes a lost job reports it; for so long no other desk does.
    Keep it above all attempts with their pauses."""
    attempts: int = 12
    """With placement.reportLost: attempts to report it to livekit-server."""
    max_pause_seconds: float = 20.0
    """The pauses between them grow from 1 s up to this."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults are for production; tests shorten them by name."""

    bid_wait_seconds: float = 0.2
    """A pod that has not bid within this is passed over."""
    bid_wait_per_call_seconds: float = 0.01
    """So much longer for each request that is waiting for a bid: in a burst the pods have work."""
    patient_bid_wait_seconds: float = 1.0
    """When no pod bid, the best ones are asked once more with this much patience."""
    forward_seconds: float = 10.0
    """A request that is handed to a pod lives so long from its claim on, and no longer than the
    client waits: in that time the pod must have livekit-server make the record."""
    least_forward_seconds: float = 2.0
    """With less of that left, nothing is handed over."""
    started_after_seconds: float = 3.0
    """A job that its pod lists so long after the record had to be made has started."""
    grant_margin_seconds: float = 5.0
    """Clocks and queues may differ by so much: then no grant can be on its way any more."""
    leave_alone_seconds: float = 2.0
    """A claim of another attempt that is younger is left to it."""
    ask_again_seconds: float = 0.5
    """While nobody knows whether a job runs, the pods are asked again after so long."""
    answer_margin_seconds: float = 0.5
    """A refusal is sent this long before the client gives up."""
    answer_within_seconds: float = 9.0
    """Where requests may wait, each is answered so long after it was sent: some clients give up
    after 10."""
    start_allowance_seconds: float = 2.0
    """What of that is left to the pod that starts the job; no wait is longer."""
    foreign_bidders_seconds: float = 300.0
    """Egress workers outside of fleets count as there for so long after one took a request."""
    info_wait_seconds: float = 1.0
    """How long livekit-server is asked what it knows of a job that is to start."""
    io_timeout_seconds: float = 5.0
    """Any other call to livekit-server about a record has failed after so long."""
    keep_place_seconds: float = KEEP_SECONDS
    """How long the place of a refused request is kept."""
    queue_look_seconds: float = 0.1
    """How often the line is looked at while somebody waits and nothing happens."""
    queue_max_pause_seconds: float = 5.0
    """While Redis is away the pauses between these looks grow up to this."""
    left_behind_seconds: float = 5.0
    """What a desk that died left in the line is dropped by another one so long after its time."""
    ask_last_seconds: float = 2.0
    """A pod that did not take a job is asked last for so long."""
    quarantine: Rules = field(default_factory=Rules)
    """When a pod that fails gets no jobs, and for how long."""
    keep_answer_seconds: float = 120.0
    """An answer is kept for so long, for a client that asks for the same id again."""
    scrape_every_seconds: float = 5.0
    """How often the metrics of each pod are read."""
    scrape_timeout_seconds: float = 2.0
    """Metrics that have not come within this cannot be read."""
    scrape_max_back_off_seconds: float = 60.0
    """A pod whose metrics cannot be read is asked at least so often."""
    first_look_seconds: float = 2.0
    """A desk that starts waits so long for the metrics and job lists of its pods."""
    sync_every_seconds: float = 1.0
    """How often the ledger in Redis is looked at when nothing happens: what another desk knows of
    demand is known here by then."""
    heard_look_seconds: float = 0.1
    """The ledger is looked at so long after a request was heard that another desk may have taken:
    what it makes of it counts here too, and is reported to KEDA."""
    others_ends_seconds: float = 2.5
    """The desk that placed a job writes its end to the ledger; another that hears of it does so if
    the ledger does not tell it by then. Longer than `sync_every_seconds`."""
    stale_seconds: float = 15.0
    """A ledger that has not been seen for so long says nothing of demand any more."""
    list_every_seconds: float = 10.0
    """How often the pods are asked which jobs they run."""
    list_wait_seconds: float = 1.0
    """How long their answers are waited for."""
    patience: Patience = field(default_factory=Patience)
    """Before a job that no pod lists is given up."""
    look_at_bids_seconds: float = 60.0
    """How often the pods of fleets with engine native are asked what they would bid."""
    look_at_bids_timeout_seconds: float = 20.0
    """Asking the pods of one Redis has failed after so long."""
    close_seconds: float = 5.0
    """A desk that is stopped gives the starts under way so long; the next desk does the rest."""
    last_write_seconds: float = 2.0
    """And so long to write what Redis does not have yet."""
    echo_every_seconds: float = 30.0
    """How often it is tried whether two Redises that fleets name are one server."""
    echo_wait_seconds: float = 0.5
    """What is published on one is waited for so long on the others, when it was heard there."""
    redis: RedisTimes = field(default_factory=RedisTimes)
    """How long a Redis is waited for."""
    ledger: LedgerTimes = field(default_factory=LedgerTimes)
    """The same for the ledger in it, and how long that is kept."""
    lost: LostTimes = field(default_factory=LostTimes)
    """How a job whose pod is gone is reported."""
    bus: BusTimes = field(default_factory=BusTimes)
    """The same for the messages that travel over it."""
    turns: TurnTimes = field(default_factory=TurnTimes)
    """How the namespaces that share a desk share its time."""
    demand: DemandTimes = field(default_factory=DemandTimes)
    """How often the demand is read for KEDA and the operator."""

    @property
    def starts_within_seconds(self) -> float:
        """A job that was claimed so long ago and is listed has started: before that its pod may
        still give up, as it does when livekit-server does not make the record in time."""
        return self.forward_seconds + self.started_after_seconds
