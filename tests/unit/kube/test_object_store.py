"""Objects as last seen, from events and lists that may both be late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.kube.object_store import Shelf


def test_a_newer_sighting_wins_whichever_comes_first() -> None:
    for order in ([1, 2], [2, 1]):
        shelf: Shelf[str] = Shelf()
        for version in order:
            shelf.put("u", version, f"as of {version}")
        assert shelf.items == ["as of 2"]


def test_a_list_takes_away_who_is_not_in_it() -> None:
    shelf: Shelf[str] = Shelf()
    shelf.put("gone", 5, "gone")
    shelf.take_list(10, [("here", 3, "here")])
    assert shelf.items == ["here"]


def test_a_list_that_is_late_takes_away_nobody_newer() -> None:
    shelf: Shelf[str] = Shelf()
    shelf.put("new", 11, "new")
    shelf.take_list(10, [])
    assert shelf.items == ["new"]


def test_a_list_that_is_late_brings_nobody_back_who_was_deleted() -> None:
    shelf: Shelf[str] = Shelf()
    shelf.put("u", 5, "u")
    shelf.remove("u", 8)
    for version in (6, 7):
        shelf.take_list(version, [("u", 5, "u")])
        assert shelf.items == []


def test_who_was_deleted_is_forgotten_when_no_list_can_have_it_any_more() -> None:
    shelf: Shelf[str] = Shelf()
    shelf.remove("u", 8)
    shelf.take_list(8, [])
    assert shelf._deleted == {}


def test_an_object_that_cannot_be_read_stays_as_it_was() -> None:
    shelf: Shelf[str] = Shelf()
    shelf.put("u", 5, "readable")
    shelf.take_list(10, [], unread=["u"])
    assert shelf.items == ["readable"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), max_size=12), st.data())
def test_events_and_lists_in_any_interleaving_end_in_what_is_there(
    history: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Kubernetes' history is a sequence of versions; events come in order, lists may be late."""
    states: list[dict[str, int]] = [{}]
    events: list[tuple[str, int, bool]] = []
    generation: dict[str, int] = {}
    for version, (name, what) in enumerate(history, start=1):
        state = dict(states[-1])
        uid = f"{name}{generation.get(name, 0)}"
        if what == 0 and uid in state:
            del state[uid]
            generation[name] = generation.get(name, 0) + 1
            events.append((uid, version, True))
        else:
            state[uid] = version
            events.append((uid, version, False))
        states.append(state)
    shelf: Shelf[int] = Shelf()
    listed = 0
    for index, (uid, version, deleted) in enumerate(events):
        if deleted:
            shelf.remove(uid, version)
        else:
            shelf.put(uid, version, version)
        if data.draw(st.booleans()):
            listed = data.draw(st.integers(listed, index + 1))
            snapshot = states[listed]
            shelf.take_list(listed, [(uid, at, at) for uid, at in snapshot.items()])
    assert sorted(shelf.items) == sorted(states[-1].values())
