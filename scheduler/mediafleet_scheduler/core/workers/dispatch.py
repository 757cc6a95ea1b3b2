"""From a task to its one answer: who works on it, and what follows when that fails.

    waiting --given--> running --result--> done
       ^                  | error: the next worker, up to `max_attempts`
       |                  | full: the next worker, without limit
       '------------------' its worker is lost: once elsewhere

After the first byte to the caller, a time-out or a cancel no other worker is asked. A task that is
over leaves its attempt behind: there is no cancel on the wire, so that the worker's capacity stays
in use until the result comes or the worker is gone. Capacity is never counted up and down: it is
what the attempts that are there say.

Each attempt has an id of its own, which is the task id on the wire: a late result of an earlier
attempt can then not be taken for that of a later one. A worker whose stream has ended may still
post what it had, and so may a worker of a broker whose tasks this one took over: the first result
that comes while the task has no answer is the answer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping

from mediafleet_scheduler.core.workers.choice.attempts import Given
from mediafleet_scheduler.core.workers.choice.candidates import Chosen
from mediafleet_scheduler.core.workers.choice.moments import Moments
from mediafleet_scheduler.core.workers.roster import Roster
from mediafleet_scheduler.core.workers.standing import Attempt, Sessions, Task
from mediafleet_scheduler.core.workers.steps import (
    FULL_WORDS,
    Answer,
    Ending,
    Rules,
    Send,
    Step,
    Verdict,
)
from mediafleet_scheduler.core.workers.views import Target, Worker


class Dispatcher:
    """The tasks and workers of one broker. Takes events with their time, returns steps.

    `new_id` makes the task ids on the wire: 63 bits that nobody can guess, since a result is known
    by its id and the secret alone.
    """

    def __init__(self, new_id: Callable[[], int], rules: Rules | None = None) -> None:
        self._new_id = new_id
        self._rules = rules or Rules()
        self._roster = Roster(self._rules)
        self._tasks: dict[str, Task] = {}
        self._deadlines: Moments[Task] = Moments(lambda _, task: self._tasks.get(task.id) is task)
        self._attempts: dict[int, Attempt] = {}
        self._waiting: dict[Target, OrderedDict[str, None]] = {}
        self._sessions = Sessions()
        self._missed: Counter[Target] = Counter()

    # What there is

    @property
    def workers(self) -> list[Worker]:
        """All workers, in the order of connecting."""
        return [each.worker for each in self._roster]

    def capacity(self, target: Target) -> int:
        """Tasks of a model that live workers take at a time; draining ones take none."""
        return sum(
            each.worker.offers[target].capacity
            for each in self._roster.fitting(target)
            if not each.draining
        )

    def as_counted(self, worker: Worker) -> Worker:
        """A worker without the models whose runner is too old to be given tasks."""
        return self._roster.as_counted(worker)

    def in_use(self, target: Target) -> int:
        """Attempts that take up that capacity."""
        return sum(each.load(target) for each in self._roster.serving(target))

    def waiting(self, target: Target) -> int:
        """Tasks of a model that wait for a worker."""
        return len(self._waiting.get(target, ()))

    def missed(self, target: Target) -> int:
        """Tasks of a model that no worker had room for in time."""
        return self._missed[target]

    def load(self, worker: str, target: Target | None = None) -> int:
        """Attempts on a worker; of one model, if it is named."""
        standing = self._roster.get(worker)
        return 0 if standing is None else standing.load(target)

    def known_as(self, attempt: int) -> str | None:
        """Who alone may post an attempt's result; `None`: who knows the shared secret."""
        known = self._attempts.get(attempt)
        return None if known is None else known.known_as

    def is_earlier(self, attempt: int) -> bool:
        """Whether an attempt's worker is gone, or was another broker's."""
        known = self._attempts.get(attempt)
        return (
            known is not None and self._running(known) is None and self._wanted(known) is not None
        )

    def tasks_of(self, worker: str) -> list[str]:
        """The tasks that a worker has and that wait for its result."""
        standing = self._roster.get(worker)
        known = () if standing is None else standing.ids()
        return [task for each in known if (task := self.task_of(each)) is not None]

    def is_draining(self, worker: str) -> bool:
        """Whether a worker is given nothing, since it drains or is held."""
        standing = self._roster.get(worker)
        return standing is not None and standing.draining

    def is_quarantined(self, worker: str, now: float) -> bool:
        """Whether a worker is left out after failures in a row."""
        standing = self._roster.get(worker)
        return standing is not None and now < standing.out_until

    def why_not(self, task: str, now: float) -> dict[str, str]:
        """Why each worker of a waiting task's model is not given it, by worker."""
        known = self._tasks.get(task)
        if known is None:
            return {}
        found = (
            (each.worker.id, each.why_not(known.target, known.excluded))
            for each in self._roster.candidates(known.target, now)
        )
        return {worker: why for worker, why in found if why is not None}

    def next_moment(self) -> float | None:
        """When time alone changes something; `None`: it does not. It may be past: `passed` is
        due."""
        moments = [self._deadlines.first()]
        if any(self._waiting.values()):
            moments.append(self._roster.next_resume())
        return min((each for each in moments if each is not None), default=None)

    # Events

    def connected(self, worker: Worker, now: float, *, held: bool = False) -> list[Step]:
        """A worker has registered. One that is held is given nothing before `undrain`."""
        self._roster.connected(worker, held=held)
        return self._give(worker.offers, now)

    def asks_for(self, least: Mapping[Target, str], now: float) -> list[Step]:
        """The least version of each model's runner that is given tasks; others: any."""
        self._roster.asks_for(least)
        return self._give(list(self._waiting), now)

    def drain(self, worker: str, now: float) -> None:
        """A worker is given nothing any more; what it has goes on."""
        if (standing := self._roster.get(worker)) is not None:
            standing.draining = True
            self._roster.touch(standing)

    def undrain(self, worker: str, now: float) -> list[Step]:
        """A worker may be given tasks after all."""
        standing = self._roster.get(worker)
        if standing is None or not standing.draining:
            return []
        standing.draining = False
        self._roster.touch(standing)
        return self._give(standing.worker.offers, now)

    def lost(self, worker: str, now: float) -> list[Step]:
        """A worker's stream has ended: what it had is done once elsewhere, or over."""
        standing = self._roster.lost(worker)
        if standing is None:
            return []
        steps: list[Step] = []
        freed: list[Target] = []
        for id_ in standing.ids():
            task = self._running(self._attempts[id_])
            if task is None:
                del self._attempts[id_]
                continue
            task.attempt = None
            task.earlier.add(id_)
            task.excluded.add(worker)
            task.deaths += 1
            if task.begun or task.deaths > 1:
                steps.append(self._end(task, Ending.LOST, "its worker is gone", worker))
            else:
                self._wait(task, first=True)
                freed.append(task.target)
        return steps + self._give(freed, now)

    def submitted(
        self,
        task: str,
        target: Target,
        deadline: float,
        now: float,
        session: str | None = None,
        earlier: Iterable[Given] = (),
    ) -> list[Step]:
        """A task has come; its id is new. `earlier`: attempts of the broker that had it before."""
        if task in self._tasks:
            raise ValueError(f"task {task} is there already")
        known = self._tasks[task] = Task(task, target, deadline, session)
        for each in earlier:
            if each.attempt not in self._attempts:
                known.earlier.add(each.attempt)
                self._attempts[each.attempt] = Attempt(
                    each.attempt, task, target, "", now, each.known_as
                )
        self._deadlines.add(deadline, known)
        self._wait(known)
        return self._give([target], now)

    def verdict(self, attempt: int) -> Verdict:
        """What a result that begins to arrive is, before anything of it is used."""
        known = self._attempts.get(attempt)
        if known is None:
            return Verdict.UNKNOWN
        return Verdict.LATE if self._wanted(known) is None else Verdict.WANTED

    def task_of(self, attempt: int) -> str | None:
        """The task that an attempt is for; `None`: unknown, or not for it any more."""
        known = self._attempts.get(attempt)
        task = None if known is None else self._wanted(known)
        return None if task is None else task.id

    def first_byte(self, attempt: int) -> None:
        """The task's caller has had the first byte of this attempt's result."""
        known = self._attempts.get(attempt)
        if known is not None and (task := self._wanted(known)) is not None:
            task.begun = True
            if task.attempt != attempt:
                task.earlier.discard(attempt)
                self._waiting.get(task.target, OrderedDict()).pop(task.id, None)
                task.attempt = attempt

    def succeeded(self, attempt: int, now: float) -> list[Step]:
        """An attempt's whole result has come."""
        known = self._finish(attempt)
        if known is None:
            return []
        standing, task = self._roster.get(known.worker), self._wanted(known)
        if standing is not None:
            self._roster.trust(standing)
        steps: list[Step] = []
        if task is not None:
            if standing is not None:
                self._roster.took(known, now)
            if len(task.faulty) == 1:
                # Another could do it: the fault was the worker's, not the request's.
                self._roster.blame(task.faulty[0], now)
            steps.append(self._end(task, Ending.DONE, "", known.worker or None, attempt))
        return steps + self._give([known.target], now)

    def failed(self, attempt: int, words: str, now: float) -> list[Step]:
        """A worker has answered with an error."""
        known = self._finish(attempt)
        if known is None:
            return []
        standing, task = self._roster.get(known.worker), self._running(known)
        is_full = words.strip() == FULL_WORDS
        if standing is not None:
            self._roster.goes_last(standing)
            if is_full:
                self._roster.full(standing, known.target, now)
        steps: list[Step] = []
        if task is not None:
            task.attempt = None
            if is_full:
                self._wait(task, first=True)
            else:
                steps += self._after_error(task, known.worker, words, now)
        return steps + self._give([known.target], now)

    def cancelled(self, task: str) -> list[Step]:
        """The caller has gone. The attempt goes on, and takes up capacity."""
        known = self._tasks.get(task)
        return [] if known is None else [self._end(known, Ending.CANCELLED, "", None)]

    def passed(self, now: float) -> list[Step]:
        """Time has passed: tasks that are due end, and pauses are over."""
        steps: list[Step] = []
        for task in self._deadlines.due(now):
            running = task.attempt is not None
            self._missed[task.target] += not running
            words = "no result in time" if running else task.words or "no worker had room in time"
            steps.append(self._end(task, Ending.TIMED_OUT, words, None))
        return steps + self._give(list(self._waiting), now)

    # How

    def _after_error(self, task: Task, worker: str, words: str, now: float) -> list[Step]:
        task.words = words
        task.excluded.add(worker)
        task.faulty.append(worker)
        most = self._rules.max_attempts
        others = any(
            each.worker.id not in task.excluded for each in self._roster.fitting(task.target)
        )
        if task.begun or not others or (most is not None and len(task.faulty) >= most):
            if len(task.faulty) == 1:
                # Nobody else could show whether the request or the worker is to blame.
                self._roster.blame(worker, now)
            return [self._end(task, Ending.FAILED, words, worker)]
        self._wait(task, first=True)
        return []

    def _running(self, attempt: Attempt) -> Task | None:
        task = self._tasks.get(attempt.task)
        return task if task is not None and task.attempt == attempt.id else None

    def _wanted(self, attempt: Attempt) -> Task | None:
        """The task that an attempt's result would answer now."""
        task = self._tasks.get(attempt.task)
        if task is None or task.attempt == attempt.id:
            return task
        return task if attempt.id in task.earlier and not task.begun else None

    def _finish(self, attempt: int) -> Attempt | None:
        known = self._attempts.pop(attempt, None)
        if known is not None and (standing := self._roster.get(known.worker)) is not None:
            standing.attempts.get(known.target, set()).discard(attempt)
            self._roster.touch(standing)
        return known

    def _end(
        self,
        task: Task,
        ending: Ending,
        words: str,
        worker: str | None,
        attempt: int | None = None,
    ) -> Answer:
        del self._tasks[task.id]
        for each in task.earlier:
            self._attempts.pop(each, None)
        self._waiting.get(task.target, OrderedDict()).pop(task.id, None)
        return Answer(task.id, ending, words, worker, attempt)

    def _wait(self, task: Task, *, first: bool = False) -> None:
        queue = self._waiting.setdefault(task.target, OrderedDict())
        queue[task.id] = None
        if first:
            queue.move_to_end(task.id, last=False)

    def _give(self, targets: Iterable[Target], now: float) -> list[Step]:
        """Give what waits for these models to whoever has room; a pause may be over too."""
        steps: list[Step] = []
        for target in dict.fromkeys([*targets, *self._roster.resumed(now)]):
            queue = self._waiting.get(target)
            if queue:
                sends = list(self._sends(target, queue, now))
                steps += sends
                for each in sends:
                    del queue[each.task]
        return steps

    def _sends(self, target: Target, queue: Iterable[str], now: float) -> Iterator[Send]:
        for id_ in queue:
            task = self._tasks[id_]
            chosen = self._roster.best(target, task.excluded, self._sessions.of(task), now)
            if chosen is not None:
                yield self._send(task, chosen, now)
            elif not self._roster.room(target, now):
                return

    def _send(self, task: Task, chosen: Chosen, now: float) -> Send:
        worker = chosen.worker.id
        self._sessions.given(task, worker)
        known_as = chosen.worker.known_as
        attempt = Attempt(self._new_id(), task.id, task.target, worker, now, known_as)
        self._attempts[attempt.id] = attempt
        if (standing := self._roster.get(worker)) is not None:
            standing.attempts.setdefault(task.target, set()).add(attempt.id)
            self._roster.goes_last(standing)
        task.attempt = attempt.id
        return Send(attempt.id, task.id, worker, chosen)
