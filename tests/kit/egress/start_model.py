"""A small model around the rules of a start: client, desks, pods, bus and ledger, without I/O.

Time is a heap of moments, so that a placement takes under a millisecond and all faults can be
tried. Desks do as egress/jobs/start.py does; only the rules are the real ones. Messages are
numbered as on the bus of tests/contract/egress/test_messages.py.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from tests.kit.egress.meddling import Fate

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress import attempt as words
from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Outcome, Report
from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.egress.base.settings import Settings

LATE_SECONDS: Final = {Fate.LATE: 1.6, Fate.VERY_LATE: 12.0}
HOP_SECONDS: Final = 0.001
START_SECONDS: Final = 0.3
CREATE_SECONDS: Final = 15.0
ATTEMPTS: Final = ((10.0, 1.0), (20.0, 2.0), (40.0, 0.0))
"""Seconds of each attempt of a client and of the pause after it."""
EGRESS_ID: Final = "EG_1"
SETTINGS: Final = Settings()
TIMES: Final = words.Times(**{f.name: getattr(SETTINGS, f.name) for f in fields(words.Times)})

Do = Callable[[], None]


@dataclass(slots=True)
class World:
    """Time, and a bus on which the messages with these numbers have a fate."""

    fates: Mapping[int, Fate]
    now: float = 1000.0
    messages: int = 0
    held: list[Do] = field(default_factory=list)
    due: list[tuple[float, int, Do]] = field(default_factory=list)
    turn: itertools.count[int] = field(default_factory=itertools.count)

    def after(self, seconds: float, do: Do) -> None:
        heapq.heappush(self.due, (self.now + seconds, next(self.turn), do))

    def run(self, until: Callable[[], bool], seconds: float) -> None:
        end = self.now + seconds
        while self.due and self.due[0][0] <= end and not until():
            self.now, _, do = heapq.heappop(self.due)
            do()

    def send(self, *receive: Do) -> None:
        """Publish: all who listen receive it, as its fate allows."""
        fate = self.fates.get(self.messages)
        self.messages += 1
        if fate is Fate.LOST:
            return
        if fate is Fate.OVERTAKEN:
            self.held += receive
            return
        late = LATE_SECONDS.get(fate, 0.0) if fate else 0.0
        for do in receive * (2 if fate is Fate.DOUBLED else 1):
            self.after(late + HOP_SECONDS, do)
        if not late:
            for do in self.held:
                self.after(HOP_SECONDS, do)
            self.held.clear()


@dataclass(eq=False, slots=True)
class Call:
    """A request on the bus: the first bid is granted, the first answer counts."""

    expires_at: float
    server: str | None = None
    answered: bool = False
    over: bool = False


class Livekit:
    """livekit-server's record of the one job, and what desks hear of it."""

    def __init__(self) -> None:
        self.record = Report.NONE
        self.heard = Report.NONE

    def take(self, report: Report) -> None:
        """A pod's word arrives at livekit-server and at the desks."""
        self.record = self.record.or_later(report)
        self.heard = self.heard.or_later(report)


class Pod:
    """An egress worker, which aborts a start whose record is not made in time."""

    def __init__(self, world: World, name: str, livekit: Livekit, lax: bool) -> None:
        self.world, self.name, self.livekit, self.lax = world, name, livekit, lax
        self.server_id = f"SRV_{name}"
        self.active: set[str] = set()
        """Ids that it lists."""
        self.started: list[str] = []
        self._granted: set[Call] = set()

    def bid(self, call: Call, take: Callable[[str], None]) -> None:
        if call.expires_at > self.world.now and call not in self._granted:
            self.world.send(lambda: take(self.server_id))

    def grant(self, call: Call, answer: Callable[[Outcome], None]) -> None:
        if call.expires_at <= self.world.now or call in self._granted:
            return
        self._granted.add(call)
        if self.active:
            self.world.send(lambda: answer(Outcome.ALREADY_EXISTS))
            return
        self.active.add(EGRESS_ID)
        self._start(min(CREATE_SECONDS, call.expires_at - self.world.now), answer)

    def _start(self, seconds: float, answer: Callable[[Outcome], None]) -> None:
        """Have the record made in so many seconds, and launch."""
        launched_at = self.world.now + START_SECONDS
        created: list[bool] = []

        def launched() -> None:
            self.started.append(EGRESS_ID)
            self.world.send(lambda: answer(Outcome.STARTED))
            self.world.send(lambda: self.livekit.take(Report.STARTED))

        def made() -> None:
            if not created:
                created.append(True)
                self.world.after(max(0.0, launched_at - self.world.now), launched)

        def create() -> None:
            self.livekit.take(Report.CREATED)
            if not self.lax:
                self.world.send(made)

        def give_up() -> None:
            if not created:
                created.append(False)
                self.active.discard(EGRESS_ID)
                self.world.send(lambda: answer(Outcome.FAILED))

        self.world.send(create)
        if self.lax:
            made()
        self.world.after(seconds, give_up)


@dataclass(slots=True)
class Ledger:
    """What is in Redis of the one egress id."""

    job: Job | None = None
    failed: bool = False

    def known(self) -> words.AlreadyKnown | None:
        if self.job is None:
            return None
        return words.AlreadyKnown(self.job, self.failed or self.job.started_at is not None)


class Run:
    """One attempt at one desk: a shell around the rules."""

    def __init__(self, desk: Desk, sent_at: float, expires_at: float) -> None:
        self.desk, self.world = desk, desk.world
        token = f"{desk.name}-{next(self.world.turn)}"
        self.state = words.Attempt(TIMES, token, sent_at, expires_at, self.world.now)
        self.waiters: list[Callable[[bool], None]] = []

    def begin(self) -> None:
        self._next(start.begin(self.state, self.world.now))

    def _feed(self, event: words.Event) -> None:
        self._next(start.advance(self.state, event, self.world.now))

    def _later(self, seconds: float, event: Callable[[], words.Event]) -> None:
        self.world.after(seconds, lambda: self._feed(event()))

    def _next(self, what: start.Next) -> None:
        self.state, step = what
        match step:
            case words.TakePlace():
                self._later(HOP_SECONDS, lambda: self._claim(step.excluded))
            case words.HandOver():
                self._hand_over(step.job, step.patient)
            case words.PassOver():
                self._feed(words.PassedOver())
            case words.AskPods():
                self._ask_pods(step.job)
            case words.TakeOver():
                self._later(HOP_SECONDS, lambda: self._take_over(step.job))
            case words.AskBid():
                self._ask_bid(step.job)
            case words.Recall():
                known = self.desk.ledger.known
                self._later(step.after_seconds, lambda: known() or words.Free())
            case _:
                self._end(step)

    def _claim(self, excluded: frozenset[str]) -> words.Event:
        ledger, token = self.desk.ledger, self.state.token
        known = ledger.known()
        if known is not None and (known.settled or known.job.token != token):
            return known
        free = [pod for pod in self.desk.pods if pod.name not in excluded]
        if not free:
            return words.NoCapacity(Refusal.NO_CAPACITY, 0.5)
        name, now = free[0].name, self.world.now
        kind = RequestType.TRACK
        ledger.job = Job(EGRESS_ID, "/rec", name, name, name, kind, 0.5, token, now)
        return words.Placed(ledger.job)

    def _take_over(self, job: Job) -> words.Event:
        ledger = self.desk.ledger
        known = ledger.known()
        ours = known is not None and not known.settled and known.job.token == job.token
        if ours:
            ledger.job = job._replace(token=self.state.token)
        return words.TakenOver(ours, pod_is_there=True)

    def _hand_over(self, job: Job, patient: bool) -> None:
        left = job.claimed_at + SETTINGS.forward_seconds
        left = min(left, self.state.expires_at) - self.world.now
        if left < SETTINGS.least_forward_seconds:
            self._feed(words.Handed(Outcome.TOO_LATE, None, None))
            return
        call, pod = Call(self.world.now + left), self.desk.pod(job)

        def end(outcome: Outcome) -> None:
            if not call.over:
                call.over = True
                server = pod.server_id if outcome is not Outcome.NO_BID else None
                if outcome in (Outcome.STARTED, Outcome.ALREADY_EXISTS, Outcome.FAILED):
                    self.desk.servers[pod.name] = pod.server_id
                known = self.desk.servers.get(pod.name)
                self._feed(words.Handed(outcome, server, known))

        def bid(server: str) -> None:
            if call.server is None and not call.over:
                call.server = server
                self.world.send(lambda: pod.grant(call, end))

        self.world.send(lambda: pod.bid(call, bid))
        wait = SETTINGS.patient_bid_wait_seconds if patient else SETTINGS.bid_wait_seconds
        self.world.after(wait, lambda: None if call.server else end(Outcome.NO_BID))
        wait = left + SETTINGS.started_after_seconds
        self.world.after(wait, lambda: end(Outcome.NO_ANSWER))

    def _ask_pods(self, job: Job) -> None:
        heard: dict[str, frozenset[str]] = {}
        record: list[Report] = []
        over: list[bool] = []

        def end() -> None:
            if over:
                return
            over.append(True)
            runs_on = next((s for s, ids in heard.items() if EGRESS_ID in ids), None)
            report = livekit.heard.or_later(record[0]) if record else livekit.heard
            server = self.desk.servers.get(job.worker_uid)
            servers, asked = frozenset(heard), bool(record)
            self._feed(words.Looked(runs_on, servers, report, asked, server, pod_is_there=True))

        def take(pod: Pod, ids: frozenset[str]) -> None:
            heard[pod.server_id] = ids
            if len(heard) == len(self.desk.pods):
                self.world.after(2 * HOP_SECONDS, end)

        def ask(pod: Pod) -> None:
            ids = frozenset(pod.active)
            self.world.send(lambda: take(pod, ids))

        self.world.send(*[lambda pod=pod: ask(pod) for pod in self.desk.pods])
        livekit = self.desk.pods[0].livekit

        def answer() -> None:
            known = livekit.record
            self.world.send(lambda: record.append(known))

        self.world.send(answer)
        self.world.after(SETTINGS.list_wait_seconds, end)

    def _ask_bid(self, job: Job) -> None:
        call, pod = Call(self.world.now + SETTINGS.patient_bid_wait_seconds), self.desk.pod(job)

        def end(server: str | None) -> None:
            if not call.over:
                call.over = True
                self._feed(words.Bid(server))

        self.world.send(lambda: pod.bid(call, end))
        self.world.after(SETTINGS.patient_bid_wait_seconds, lambda: end(None))

    def _end(self, step: words.Step) -> None:
        ledger = self.desk.ledger
        match step:
            case words.Succeed():
                if ledger.job is not None and ledger.job.token == step.job.token:
                    ledger.job = ledger.job._replace(started_at=self.world.now)
            case words.Fail():
                ledger.job, ledger.failed = step.job, True
            case words.Refuse() if step.release:
                if ledger.job is not None and ledger.job.token == self.state.token:
                    ledger.job = None
        if isinstance(step, words.Refuse):
            self.desk.run = None
        good = isinstance(step, words.Succeed | words.Finished | words.Repeat)
        for answer in self.waiters:
            answer(good)


class Desk:
    """A desk that may be granted the request of a client."""

    def __init__(self, world: World, name: str, pods: list[Pod], ledger: Ledger) -> None:
        self.world, self.name, self.pods, self.ledger = world, name, pods, ledger
        self.servers: dict[str, str] = {}
        self.run: Run | None = None
        self._granted: set[Call] = set()

    def pod(self, job: Job) -> Pod:
        return next(pod for pod in self.pods if pod.name == job.worker_uid)

    def bid(self, call: Call, take: Callable[[str], None]) -> None:
        if call.expires_at > self.world.now and call not in self._granted:
            self.world.send(lambda: take(self.name))

    def grant(self, call: Call, sent_at: float, answer: Callable[[bool], None]) -> None:
        if call.server != self.name or call in self._granted:
            return
        if call.expires_at <= self.world.now:
            return
        self._granted.add(call)
        done: list[bool] = []

        def say(good: bool) -> None:
            if not done:
                done.append(True)
                self.world.send(lambda: answer(good))

        margin = min(SETTINGS.answer_margin_seconds, 0.05 * (call.expires_at - sent_at))
        self.world.after(call.expires_at - margin - self.world.now, lambda: say(False))
        if self.run is None:
            self.run = Run(self, sent_at, call.expires_at)
            self.run.waiters.append(say)
            self.run.begin()
        elif self.run.state.phase is words.Phase.DONE:
            say(True)
        else:
            now = self.world.now
            self.run.state = start.joined(self.run.state, sent_at, call.expires_at, now)
            self.run.waiters.append(say)


class Placement:
    """One client, two desks, two pods."""

    def __init__(self, fates: Mapping[int, Fate], lax: bool = False) -> None:
        """Lax pods start a job whether or not livekit-server makes its record."""
        self.world = World(fates)
        livekit = Livekit()
        self.pods = [Pod(self.world, f"pod-{number}", livekit, lax) for number in range(2)]
        ledger = Ledger()
        self.desks = [Desk(self.world, f"desk-{n}", self.pods, ledger) for n in range(2)]

    @property
    def started(self) -> list[str]:
        """Every start on every pod."""
        return [egress_id for pod in self.pods for egress_id in pod.started]

    def call(self) -> bool:
        """Call as livekit-server does, with its three attempts; whether it was told a start."""
        for seconds, pause in ATTEMPTS:
            if self._attempt(seconds):
                return True
            self.wait(pause)
        return False

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.world.after(seconds, lambda: None)
        self.world.run(lambda: False, seconds)

    def _attempt(self, seconds: float) -> bool:
        sent_at = self.world.now
        said: list[bool] = []
        call = Call(sent_at + seconds)

        def bid(name: str) -> None:
            if call.server is None:
                call.server = name
                grant = [lambda d=d: d.grant(call, sent_at, said.append) for d in self.desks]
                self.world.send(*grant)

        self.world.send(*[lambda desk=desk: desk.bid(call, bid) for desk in self.desks])
        self.world.after(1.0, lambda: None)
        self.world.run(lambda: call.server is not None, 1.0)
        if call.server is None:
            return False
        left = call.expires_at - self.world.now
        self.world.after(left, lambda: None)
        self.world.run(lambda: bool(said), left)
        return bool(said) and said[0]
