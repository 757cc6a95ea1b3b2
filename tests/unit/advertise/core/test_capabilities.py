"""Which nodes can do what a gateway asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.formats.bits import to_bits
from mediafleet_common.wire.livepeer_pb2 import Capabilities as Message
from mediafleet_scheduler.core.advertise.capabilities import (
    PIPELINES,
    Capabilities,
    Fit,
    Kinds,
    Wanted,
    asked,
    declared,
    fit,
)
from mediafleet_scheduler.core.workers.pipelines import FORMS

numbers = st.frozensets(st.integers(0, 40), max_size=8)
models = st.dictionaries(
    st.integers(27, 37), st.frozensets(st.sampled_from("abc"), min_size=1), max_size=3
)
told = st.builds(lambda some, named: Capabilities(some | frozenset(named), named), numbers, models)
declarations = st.lists(
    st.builds("{}/{}".format, st.sampled_from(sorted(PIPELINES)), st.sampled_from("abc")),
    max_size=3,
).map(declared)
known = st.one_of(st.none(), told, declarations)
wishes = st.lists(
    st.builds(Wanted, st.integers(0, 40), st.sampled_from(["", "a", "b"])), max_size=6
).map(tuple)


@given(known)
def test_whoever_asks_for_nothing_is_turned_away_from_no_node(can: Capabilities | None) -> None:
    assert fit(can, ()) is not Fit.NO


@given(known, wishes, wishes)
def test_whoever_asks_for_more_finds_no_more(
    can: Capabilities | None, some: tuple[Wanted, ...], more: tuple[Wanted, ...]
) -> None:
    if fit(can, some) is Fit.NO:
        assert fit(can, some + more) is Fit.NO


@given(told, wishes)
def test_what_a_node_tells_is_never_unknown_and_a_model_is_one_it_names(
    can: Capabilities, wanted: tuple[Wanted, ...]
) -> None:
    verdict = fit(can, wanted)
    assert verdict is not Fit.UNKNOWN
    if verdict is Fit.YES:
        assert {each.number for each in wanted} <= can.numbers
        assert all(each.model in can.models[each.number] for each in wanted if each.model)


@given(wishes)
def test_nothing_known_is_unknown(wanted: tuple[Wanted, ...]) -> None:
    assert fit(None, wanted) is Fit.UNKNOWN


@given(st.lists(known, max_size=12), wishes)
def test_kinds_give_each_node_the_verdict_of_its_own(
    nodes: list[Capabilities | None], wanted: tuple[Wanted, ...]
) -> None:
    kinds = Kinds(nodes)
    verdict = kinds.verdict(wanted)
    assert kinds.of_nodes(verdict) == [fit(node, wanted) for node in nodes]


@pytest.mark.parametrize("number", [*range(27, 33), 34, 36])
def test_a_bit_that_software_transcoders_set_is_worth_nothing_without_a_model(number: int) -> None:
    claims = Capabilities(frozenset(range(40)))
    assert fit(claims, (Wanted(number),)) is Fit.NO
    assert fit(claims, (Wanted(number, "m"),)) is Fit.NO
    names = Capabilities(frozenset(range(40)), {number: frozenset({"m"})})
    assert fit(names, (Wanted(number),)) is Fit.YES


def test_one_full_model_of_two_that_are_wanted_makes_a_node_full() -> None:
    models = {35: frozenset({"a", "b"})}
    can = Capabilities(frozenset({35}), models, full=frozenset({(35, "a")}))
    assert fit(can, (Wanted(35, "a"), Wanted(35, "b"))) is Fit.FULL
    assert fit(can, (Wanted(35, "b"),)) is Fit.YES


def test_pipelines_have_the_numbers_of_go_livepeers_capabilities() -> None:
    named = [*FORMS, "live-video-to-video", "byoc"]
    assert sorted(PIPELINES) == sorted(named)
    assert (PIPELINES["live-video-to-video"], PIPELINES["byoc"]) == (35, 37)
    assert all(PIPELINES[pipeline] == form.capability for pipeline, form in FORMS.items())


def test_a_declaration_knows_ai_models_and_nothing_of_transcoding() -> None:
    can = declared(["text-to-image/a/b", "llm/c"])
    assert fit(can, (Wanted(0), Wanted(12), Wanted(27, "a/b"))) is Fit.YES
    assert fit(can, (Wanted(27, "other"),)) is Fit.NO
    assert fit(can, (Wanted(35, "c"),)) is Fit.NO
    assert fit(can, (Wanted(0), Wanted(12))) is Fit.UNKNOWN
    assert declared([]) is None


def _request(*names: str, bits: frozenset[int] = frozenset({0, 12, 27})) -> bytes:
    message = Message(bitstring=to_bits(bits))
    for name in names:
        message.constraints.per_capability[27].models[name].SetInParent()
    return message.SerializeToString()


def test_what_a_request_asks_for() -> None:
    assert asked(_request("m")) == (Wanted(0), Wanted(12), Wanted(27, "m"))
    assert asked(_request()) == (Wanted(0), Wanted(12), Wanted(27))
    assert asked(b"") == ()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff garbage",
        _request("m" * 5000),
        _request(*(f"m{number}" for number in range(100))),
        _request(bits=frozenset(range(255))),
    ],
)
def test_a_request_that_asks_for_garbage_or_too_much_gets_the_whole_list(message: bytes) -> None:
    assert asked(message) == ()


def test_every_pipeline_that_we_know_can_be_declared() -> None:
    texts = [f"{pipeline}/some/model" for pipeline in PIPELINES]
    assert Advertise(models=texts).models == texts
    for text in ("text-to-image", "text-to-image/", "upscaling/m", "27/m"):
        with pytest.raises(ValueError, match="write PIPELINE/MODEL"):
            Advertise(models=[text])
