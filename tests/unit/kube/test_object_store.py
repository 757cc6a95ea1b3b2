"""Objects as last seen, from events and lists that may both be late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.kube.object_store import ObjectStore


def test_a_newer_sighting_wins_whichever_comes_first() -> None:
    for order in ([1, 2], [2, 1]):
        object_store: ObjectStore[str] = ObjectStore()
        for version in order:
            object_store.put("u", version, f"as of {version}")
        assert object_store.items == ["as of 2"]


def test_a_list_takes_away_who_is_not_in_it() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    object_store.put("gone", 5, "gone")
    object_store.take_list(10, [("here", 3, "here")])
    assert object_store.items == ["here"]


def test_a_list_that_is_late_takes_away_nobody_newer() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    object_store.put("new", 11, "new")
    object_store.take_list(10, [])
    assert object_store.items == ["new"]


def test_a_list_that_is_late_brings_nobody_back_who_was_deleted() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    object_store.put("u", 5, "u")
    object_store.remove("u", 8)
    for version in (6, 7):
        object_store.take_list(version, [("u", 5, "u")])
        assert object_store.items == []


def test_who_was_deleted_is_forgotten_when_no_list_can_have_it_any_more() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    object_store.remove("u", 8)
    object_store.take_list(8, [])
    assert object_store._deleted == {}


def test_an_object_that_cannot_be_read_stays_as_it_was() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    object_store.put("u", 5, "readable")
    object_store.take_list(10, [], unread=["u"])
    assert object_store.items == ["readable"]


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
    object_store: ObjectStore[int] = ObjectStore()
    listed = 0
    for index, (uid, version, deleted) in enumerate(events):
        if deleted:
            object_store.remove(uid, version)
        else:
            object_store.put(uid, version, version)
        if data.draw(st.booleans()):
            listed = data.draw(st.integers(listed, index + 1))
            snapshot = states[listed]
            object_store.take_list(listed, [(uid, at, at) for uid, at in snapshot.items()])
    assert sorted(object_store.items) == sorted(states[-1].values())


def test_what_is_seen_again_is_no_news() -> None:
    object_store: ObjectStore[str] = ObjectStore()
    first = "as of 3"
    assert object_store.put("u", 3, first)
    assert object_store.at("u", 3) == object_store.at("u", 2) == object_store.get("u") == first
    assert object_store.at("u", 4) is None
    assert not object_store.put("u", 3, first)
    assert not object_store.put("u", 2, "older")
    assert object_store.take_list(5, [("u", 3, first), ("new", 4, "new")]) == {"new"}
    assert object_store.take_list(6, [("u", 3, first)]) == {"new"}
    assert object_store.remove("u", 7)
    assert not object_store.remove("u", 7)
    assert object_store.get("u") is None
