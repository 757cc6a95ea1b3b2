"""The order over workers that is kept from task to task, held to a look at all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_scheduler.core.workers.choice.candidates import Candidate
from mediafleet_scheduler.core.workers.choice.order import Order
from mediafleet_scheduler.core.workers.choice.paces import ENOUGH, FORGET_SECONDS
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.roster import Roster
from mediafleet_scheduler.core.workers.standing import Attempt, Standing
from mediafleet_scheduler.core.workers.steps import Rules
from mediafleet_scheduler.core.workers.views import Offer, Target, Worker

SD = Target(Pipeline.TEXT_TO_IMAGE, "sd")
WHISPER = Target(Pipeline.AUDIO_TO_TEXT, "whisper")
NAMES = "abcdef"

Happening = Callable[[Roster, Standing, Target, int, float], None]


def worker(name: str, capacity: int = 4, *targets: Target, warm: bool = True) -> Worker:
    return Worker(name, "a", {each: Offer(capacity, warm) for each in targets or (SD,)})


def roster(*workers: Worker) -> Roster:
    some = Roster(Rules())
    for each in workers:
        some.connected(each, held=False)
    return some


def standing(some: Roster, name: str) -> Standing:
    found = some.get(name)
    assert found is not None
    return found


def give(some: Roster, name: str, number: int, target: Target = SD) -> None:
    standing(some, name).attempts.setdefault(target, set()).add(number)
    some.goes_last(standing(some, name))


def did(some: Roster, name: str, seconds: float, now: float = 0.0, times: int = ENOUGH) -> None:
    for _ in range(times):
        some.took(Attempt(0, "t", SD, name, now - seconds), now)


def chosen(some: Roster, now: float = 0.0, *excluded: str, preferred: str | None = None) -> str:
    found = some.best(SD, excluded, preferred, now)
    return "" if found is None else found.worker.id


def recounted(
    able: list[Candidate], target: Target, excluded: set[str], preferred: str | None
) -> str | None:
    """The worker that a look at all of them finds."""
    best = min(
        (each for each in able if each.worker.id not in excluded),
        key=lambda each: (each.worker.id != preferred, each.rank(target)),
        default=None,
    )
    return None if best is None else best.worker.id


def leave(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    some.lost(known.worker.id)


def drain(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    known.draining = not known.draining
    some.touch(known)


def begin(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    give(some, known.worker.id, number, target)


def end(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    known.attempts.get(target, set()).discard(number)
    some.touch(known)


def full(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    some.full(known, target, now)


def trust(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    some.trust(known)


def blame(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    some.blame(known.worker.id, now)


def took(some: Roster, known: Standing, target: Target, number: int, now: float) -> None:
    for _ in range(ENOUGH):
        some.took(Attempt(0, "t", target, known.worker.id, now - 2.0 ** (number - 4)), now)


def happens(kind: Happening, name: str, number: int, some: Roster, now: float) -> None:
    """A worker joins if it is not there, or something happens to it."""
    known, target = some.get(name), (SD, WHISPER)[number % 2]
    if known is None:
        offers = (SD, WHISPER) if number > 6 else (target,)
        joining = worker(name, 1 + number % 3, *offers, warm=number % 4 > 0)
        some.connected(joining, held=number == 5)
    elif target in known.worker.offers:
        kind(some, known, target, number, now)


HAPPENINGS = st.sampled_from([leave, drain, begin, begin, end, full, trust, blame, took])


@settings(max_examples=300)
@given(
    st.lists(st.tuples(HAPPENINGS, st.sampled_from(NAMES), st.integers(0, 9)), max_size=40),
    st.lists(st.sets(st.sampled_from(NAMES)), min_size=1, max_size=4),
    st.sampled_from([None, *NAMES]),
)
def test_the_kept_order_finds_who_a_look_at_all_workers_finds(
    happened: list[tuple[Happening, str, int]], excluded: list[set[str]], preferred: str | None
) -> None:
    some, now = Roster(Rules(faults=2)), 0.0
    for (kind, name, number), target, left_out in zip(
        happened, itertools.cycle((SD, WHISPER)), itertools.cycle(excluded), strict=False
    ):
        happens(kind, name, number, some, now)
        now += number / 7 + (FORGET_SECONDS / 3 if number == 9 else 0)
        some.resumed(now)
        able = [each for each in some.candidates(target, now) if each.fits(target)]
        assert some.room(target, now) == len(able)
        best = some.best(target, left_out, preferred, now)
        found = None if best is None else best.worker.id
        assert found == recounted(able, target, left_out, preferred)
        if best is not None:
            assert best.among == len([each for each in able if each.worker.id not in left_out])
            assert best.kept == (found == preferred)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 8), st.integers(0, 9)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0.25, 2**-0.5, 1.0, 2**0.5, 4.0]),
    st.integers(1, 9),
)
def test_among_workers_of_one_pace_the_least_loaded_comes_first_then_the_longest_idle(
    told: list[tuple[bool, int, int, int]], pace: float, usual: int
) -> None:
    some = [
        Candidate(worker(f"w{n}", capacity, warm=warm), in_flight, last, None, pace, 1 / usual)
        for n, (warm, in_flight, capacity, last) in enumerate(told)
    ]
    by_load = sorted(
        some,
        key=lambda each: (
            not each.worker.offers[SD].warm,
            each.in_flight / each.worker.offers[SD].capacity,
            each.last_given,
            each.worker.id,
        ),
    )
    assert sorted(some, key=lambda each: each.rank(SD)) == by_load


def test_of_idle_workers_a_fast_one_comes_first_and_is_loaded_more() -> None:
    some = roster(worker("slow"), worker("usual"), worker("fast"))
    for name, seconds in {"slow": 5.0, "usual": 1.0, "fast": 0.25}.items():
        did(some, name, seconds)
    names = []
    for number in range(8):
        names.append(chosen(some))
        give(some, names[-1], number)
    assert names == ["fast", "fast", "fast", "usual", "fast", "usual", "usual", "slow"]


def task_weighs(some: Roster) -> float:
    """What one more task adds to a load."""
    (weight,) = {each.one_task for each in some.candidates(SD, 0.0)}
    return weight


def test_a_task_weighs_what_it_is_of_the_median_workers_capacity() -> None:
    some = roster(worker("a", 2))
    assert task_weighs(some) == 1 / 2
    for name, capacity, weight in (("b", 8, 1 / 8), ("c", 4, 1 / 4), ("d", 1, 1 / 4)):
        some.connected(worker(name, capacity), held=False)
        assert task_weighs(some) == weight
    for name, weight in (("b", 1 / 2), ("a", 1 / 4)):
        some.lost(name)
        assert task_weighs(some) == weight


def test_all_are_put_where_they_belong_when_what_is_usual_changes() -> None:
    some = roster(worker("fast", 4), worker("other", 4))
    for name, seconds in {"fast": 0.5, "other": 1.0}.items():
        did(some, name, seconds)
    give(some, "fast", 1)
    give(some, "fast", 2)
    # The fast one is the usual one: 1 x (2/4 + 1/4), and 2 x (0 + 1/4) of the other.
    assert chosen(some) == "other"
    for name in ("small", "tiny", "one"):
        some.connected(worker(name, 1), held=True)
    # Now a task weighs a whole worker: 1 x (2/4 + 1), and 2 x (0 + 1).
    assert chosen(some) == "fast"
    some.lost("small")
    some.lost("tiny")
    assert chosen(some) == "other"


def test_all_are_put_where_they_belong_when_the_median_worker_leaves() -> None:
    some = roster(worker("bad", 1), worker("a", 1), worker("b", 1))
    did(some, "a", 1.0)
    did(some, "b", 1.1)
    did(some, "bad", 64.0)
    paces = {each.worker.id: each.pace for each in some.candidates(SD, 0.0)}
    assert paces == {"bad": 4.0, "a": 1.0, "b": 1.0}
    assert chosen(some) == "a"
    some.lost("b")
    some.connected(worker("new", 1), held=False)
    give(some, "a", 1)
    assert chosen(some) == "new"
    did(some, "new", 0.01)
    assert chosen(some) == "new"


def test_a_worker_that_nothing_happened_to_is_not_looked_at_again() -> None:
    order, seen = Order(SD), []

    def look(name: str) -> Candidate:
        seen.append(name)
        return Candidate(worker(name), 0, 0)

    order.touch("a", "b")
    order.look_anew(look)
    order.touch("b")
    order.look_anew(look)
    order.look_anew(look)
    assert sorted(seen) == ["a", "b", "b"]
    assert len(order) == 2


def test_a_candidate_of_whom_nothing_else_is_known_is_as_usual() -> None:
    assert Candidate(worker("a"), 2, 0).rank(SD) == (False, 1.5, 0, "a")


def test_a_warm_worker_comes_before_a_faster_cold_one() -> None:
    some = roster(worker("warm"), worker("cold", warm=False))
    did(some, "warm", 8.0)
    did(some, "cold", 0.1)
    assert chosen(some) == "warm"


def test_a_worker_is_forgotten_when_it_has_done_nothing_for_long() -> None:
    some = roster(worker("slow"), worker("usual"), worker("third"))
    did(some, "slow", 4.0, 10.0)
    for name in ("usual", "third"):
        did(some, name, 1.0, 500.0)
    give(some, "usual", 1)
    give(some, "third", 2)
    some.resumed(10.0 + FORGET_SECONDS - 0.1)
    assert chosen(some, 600.0) == "usual"
    assert some.resumed(10.0 + FORGET_SECONDS) == []
    assert chosen(some, 611.0) == "slow"


def test_a_pause_that_is_over_says_which_models_have_room_again() -> None:
    some = roster(worker("a", 1, SD, WHISPER))
    some.full(standing(some, "a"), SD, 0.0)
    assert (some.room(SD, 0.5), some.room(WHISPER, 0.5)) == (0, 1)
    assert some.next_resume() == 1.0
    assert some.resumed(0.9) == []
    assert some.resumed(1.0) == [SD, WHISPER]
    assert some.room(SD, 1.0) == 1
    assert some.next_resume() is None


def test_a_pause_of_a_worker_that_is_gone_or_trusted_again_is_not_waited_for() -> None:
    some = Roster(Rules(faults=1))
    for name in "ab":
        some.connected(worker(name), held=False)
        some.blame(name, 0.0)
    assert some.next_resume() == 15.0
    some.trust(standing(some, "a"))
    some.lost("b")
    assert some.next_resume() is None
    some.blame("gone", 0.0)
    assert some.next_resume() is None


def test_nothing_is_kept_of_a_model_that_nobody_serves() -> None:
    some = roster(worker("a"))
    did(some, "a", 1.0)
    some.lost("a")
    assert list(some) == []
    assert some.serving(SD) == ()
    assert some.candidates(SD, 0.0) == []
    assert (some.room(SD, 0.0), some.best(SD, (), None, 0.0)) == (0, None)
    assert some.lost("a") is None
    assert some.get("a") is None
