"""What is sent, for each order, and that it is put together once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, Order
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_scheduler.advertise import lineup as module
from mediafleet_scheduler.advertise.lineup import Lineup, Peer
from mediafleet_scheduler.core.advertise.capabilities import Capabilities, Wanted, wanted
from mediafleet_scheduler.core.advertise.ordering import UNKNOWN, Room
from mediafleet_scheduler.core.advertise.views import Node

ADDRESS = "0x" + "ab" * 20


def lineup(order: Order, most: int | None = None, rooms: dict[str, Room] | None = None) -> Lineup:
    names = "abcd"
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in names]
    advertise = Advertise(max_nodes=most, order=order, price_per_unit=7, eth_address=ADDRESS)
    return Lineup(nodes, [(rooms or {}).get(name, UNKNOWN) for name in names], advertise)


def told(answer: bytes) -> str:
    """The nodes' letters, in order."""
    return "".join(url[8] for url in OrchestratorInfo.FromString(answer).nodes)


@pytest.mark.parametrize("order", Order)
def test_every_answer_is_a_whole_one_and_the_json_agrees(order: Order) -> None:
    info = OrchestratorInfo.FromString(lineup(order, 3).orchestrator_info(b"gateway"))
    assert info.transcoder == ""
    assert (info.price_info.price_per_unit, info.price_info.pixels_per_unit) == (7, 1)
    assert info.address == b"\xab" * 20
    entries = json.loads(lineup(order, 3).json(b"gateway"))
    assert entries == [{"address": url, "score": 1} for url in info.nodes]
    assert len(info.nodes) == 3


def test_an_empty_list_is_an_answer_too() -> None:
    for order in Order:
        empty = Lineup([], [], Advertise(order=order, max_nodes=2))
        assert OrchestratorInfo.FromString(empty.orchestrator_info()).nodes == []
        assert empty.json() == b"[]"


def test_fixed_answers_are_the_same_object_and_full_nodes_take_no_place() -> None:
    one = lineup(Order.FIXED, 2, {"a": Room(3, 3)})
    assert told(one.orchestrator_info(b"x")) == "bc"
    assert one.orchestrator_info(b"x") is one.orchestrator_info(b"y")


@pytest.mark.parametrize("order", Order)
def test_a_gateway_is_told_of_its_own_region_first_however_few_it_is_told_of(order: Order) -> None:
    nodes = [
        Node(name, name, f"https://{name}:1", None, PodState.READY, region=region)
        for name, region in zip("abcd", ("us", "us", "eu", "eu"), strict=True)
    ]
    one = Lineup(nodes, [UNKNOWN] * 4, Advertise(order=order, max_nodes=2))
    assert set(told(one.orchestrator_info(b"g" * 20, "eu"))) == set("cd")
    assert set(told(one.orchestrator_info(b"g" * 20, "us"))) == set("ab")


@pytest.mark.parametrize("order", Order)
def test_a_node_that_can_is_told_of_however_many_stand_before_it(order: Order) -> None:
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "abc"]
    can = [Capabilities(frozenset({33}))] * 2 + [Capabilities(frozenset({33, 35}))]
    one = Lineup(nodes, [UNKNOWN] * 3, Advertise(order=order, max_nodes=2), capabilities=can)
    assert told(one.having((wanted("35"),)).orchestrator_info(b"g" * 20)) == "c"


@pytest.mark.parametrize("order", Order)
def test_other_advertisers_are_told_of_every_node_of_ours_and_begin_no_session(
    order: Order,
) -> None:
    rooms = {name: Room(number, 9) for number, name in enumerate("abcd")}
    expected: dict[tuple[str, str], float] = {}
    nodes = [
        Node(name, name, f"https://{name}:1", None, PodState.READY, source="elsewhere")
        if name == "b"
        else Node(name, name, f"https://{name}:1", None, PodState.READY)
        for name in "abcd"
    ]
    advertise = Advertise(order=order, max_nodes=2)
    one = Lineup(nodes, [rooms[name] for name in "abcd"], advertise, expected)
    answers = {one.own().json(b"x") for _ in range(5)}
    assert [[entry["address"][8] for entry in json.loads(each)] for each in answers] == [
        list("acd")
    ]
    assert expected == {}


def test_rotate_gives_each_node_each_place_equally_often() -> None:
    one = lineup(Order.ROTATE, 2)
    answers = [told(one.orchestrator_info()) for _ in range(8)]
    assert answers == ["ab", "bc", "cd", "da"] * 2


def test_by_gateway_is_stable_for_one_and_differs_between_many() -> None:
    one = lineup(Order.BY_GATEWAY, 1)
    answers = {number: told(one.orchestrator_info(bytes([number] * 20))) for number in range(40)}
    assert set(answers.values()) == set("abcd")
    assert all(
        told(one.orchestrator_info(bytes([number] * 20))) == answers[number] for number in answers
    )


def test_by_gateway_begins_anew_with_each_answer_for_gateways_without_an_address() -> None:
    """Off-chain all have the zero address, and several may share an IP address."""
    one = lineup(Order.BY_GATEWAY, 1)
    answers = [told(one.orchestrator_info(Peer("192.0.2.7"))) for _ in range(8)]
    assert Counter(answers) == dict.fromkeys("abcd", 2)
    first = {told(lineup(Order.BY_GATEWAY, 1).orchestrator_info(Peer(f"::{n}"))) for n in range(40)}
    assert first == set("abcd")


def test_least_loaded_does_not_send_everybody_to_one_node_until_it_is_read_again() -> None:
    one = lineup(Order.LEAST_LOADED, 1, {name: Room(0, 9) for name in "abcd"})
    assert Counter(told(one.orchestrator_info()) for _ in range(8)) == dict.fromkeys("abcd", 2)


def test_least_loaded_remembers_over_versions_whom_it_sent_where() -> None:
    expected: dict[tuple[str, str], float] = {("a", "https://a:1"): 5.0}
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "ab"]
    one = Lineup(
        nodes,
        [Room(0, 9), Room(2, 9)],
        Advertise(max_nodes=1, order=Order.LEAST_LOADED),
        expected,
    )
    assert told(one.orchestrator_info()) == "b"
    expected.clear()
    assert told(one.orchestrator_info()) == "a"


def test_what_strangers_ask_for_is_kept_within_bounds() -> None:
    """They choose what to ask for: as many answers are kept as there are kinds of nodes."""
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "abc"]
    can = [
        Capabilities(frozenset({27}), {27: frozenset({f"m{name}" for name in names})})
        for names in ("a", "b", "ab")
    ]
    one = Lineup(nodes, [UNKNOWN] * 3, Advertise(), capabilities=can)
    for number in range(1000):
        assert told(one.having((Wanted(27, f"x{number}"),)).orchestrator_info()) == ""
    assert len(one._parts) == 1
    assert len(one._verdicts) <= 256
    assert told(one.having((Wanted(27, "ma"),)).orchestrator_info()) == "ac"


@pytest.mark.parametrize("order", Order)
def test_an_ai_request_finds_nodes_with_the_model_then_the_unknown_and_no_transcoder(
    order: Order,
) -> None:
    """A software transcoder claims bits 27-32, 34, 36: 10 of 10 requests failed behind it."""
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "abcd"]
    legacy = frozenset(range(15))
    can = [
        Capabilities(legacy | frozenset(range(27, 33)) | {34, 36}),
        None,
        Capabilities(frozenset({27}), {27: frozenset({"turbo"})}, declared=True),
        Capabilities(legacy | {27}, {27: frozenset({"turbo", "other"})}),
    ]
    one = Lineup(nodes, [UNKNOWN] * 4, Advertise(order=order), capabilities=can)
    ask = (*(Wanted(number) for number in sorted(legacy)), Wanted(27, "turbo"))
    answer = told(one.having(ask).orchestrator_info(b"g" * 20))
    assert (set(answer[:2]), answer[2:]) == ({"c", "d"}, "b")


def test_a_live_model_of_which_nothing_is_free_is_last_and_not_dead() -> None:
    """It answers such a gateway OrchestratorCapped."""
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "abc"]
    live = {35: frozenset({"noop", "other"})}
    can = [Capabilities(frozenset({35}), live, full=frozenset({(35, "noop")})), None]
    can.append(Capabilities(frozenset({35}), live))
    one = Lineup(nodes, [UNKNOWN] * 3, Advertise(), capabilities=can)
    assert told(one.having((wanted("35/noop"),)).orchestrator_info()) == "cba"
    assert told(one.having((wanted("35/other"),)).orchestrator_info()) == "acb"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_ANSWERS", 10)
    one = lineup(Order.BY_GATEWAY)
    for number in range(100):
        one.orchestrator_info(number.to_bytes(20, "big"))
    assert len(one._kept) <= 10
    monkeypatch.setattr(module, "_KEPT_BYTES", 100)
    one.orchestrator_info(b"a" * 20)
    one.orchestrator_info(b"b" * 20)
    assert len(one._kept) == 1


def test_who_is_known_to_lack_what_is_wanted_is_left_out_and_who_has_not_told_is_last() -> None:
    nodes = [Node(name, name, f"https://{name}:1", None, PodState.READY) for name in "abc"]
    can = [
        Capabilities(frozenset({33})),
        None,
        Capabilities(frozenset({33, 35}), {35: frozenset({"noop"})}),
    ]
    one = Lineup(nodes, [UNKNOWN] * 3, Advertise(), capabilities=can)
    assert told(one.having((wanted("llm"),)).orchestrator_info()) == "acb"
    assert told(one.having((wanted("35/noop"), wanted("llm"))).orchestrator_info()) == "cb"
    assert told(one.having((wanted("35/other"),)).orchestrator_info()) == "b"
    assert one.having(()) is one
    assert one.having((wanted("llm"),)) is one.having((wanted("llm"),))
    for number in range(100):
        one.having((Wanted(number),))
    assert len(one._parts) <= 16


def test_a_url_is_told_in_one_form_whoever_wrote_it() -> None:
    forms = ["https://A.example", "https://a.example:443/", "HTTPS://a.example:0443"]
    nodes = [Node(form, form, form, None, PodState.READY) for form in forms]
    told = [Lineup([one], [UNKNOWN], Advertise()).orchestrator_info() for one in nodes]
    assert {tuple(OrchestratorInfo.FromString(each).nodes) for each in told} == {
        ("https://a.example:443",)
    }
