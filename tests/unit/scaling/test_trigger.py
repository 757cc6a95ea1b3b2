"""What the metadata of a KEDA trigger may say."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.core.scaling.trigger import (
    KEYS,
    OF_KEDA,
    RULES,
    Metric,
    Trigger,
    TriggerError,
    parse,
)


def test_the_name_of_the_fleet_is_enough() -> None:
    read = parse({"fleet": "rec"}, "media")
    assert read == Trigger("media", "rec", Metric.UTILIZATION, 0.7, None, 0.0)


def test_every_key_is_read() -> None:
    said = {"fleet": "rec", "namespace": "media", "metric": "slots", "target": "3", "type": "web"}
    read = parse({**said, "activation": "2", "metricType": "AverageValue"}, "media")
    assert read == Trigger("media", "rec", Metric.SLOTS, 3.0, "web", 2.0)


def test_a_scaled_object_asks_for_fleets_of_its_own_namespace_alone() -> None:
    with pytest.raises(TriggerError, match="namespace: thief, that of the ScaledObject"):
        parse({"fleet": "rec", "namespace": "media"}, "thief")
    no_tenant = parse({"fleet": "rec", "namespace": ""}, "media")
    assert no_tenant.namespace == ""


def test_what_keda_adds_for_itself_is_let_through() -> None:
    assert parse({"fleet": "rec", **dict.fromkeys(OF_KEDA, "x")}, "media").fleet == "rec"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({}, "fleet is missing"),
        ({"fleet": ""}, "fleet is missing"),
        ({"fleet": "rec", "threshold": "5"}, "threshold is no key .* allowed: fleet, namespace"),
        ({"fleet": "rec", "Target": "5"}, "Target is no key"),
        ({"fleet": "rec", "metric": "cpu"}, "metric: one of utilization, slots, sessions, queue"),
        ({"fleet": "rec", "metric": "sessions"}, "target is missing: metric sessions needs it"),
        ({"fleet": "rec", "target": "0"}, "target: a number from 0.01 to 1,"),
        ({"fleet": "rec", "target": "1.5"}, "target: a number from 0.01 to 1,"),
        ({"fleet": "rec", "target": "0.3333"}, "at most 3 decimals"),
        ({"fleet": "rec", "target": "nan"}, "target: a number"),
        ({"fleet": "rec", "target": "70%"}, "target: a number"),
        ({"fleet": "rec", "activation": "-1"}, "activation: a number from 0"),
        ({"fleet": "rec", "type": "web"}, "type goes with metric slots or queue, not with util"),
        ({"fleet": "rec", "metric": "slots", "type": "video"}, "type: one of room_composite, "),
        ({"fleet": "rec", "metricType": "Value"}, "metricType: only AverageValue"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(metadata: dict[str, str], says: str) -> None:
    with pytest.raises(TriggerError, match=says):
        parse(metadata, "media")


def test_every_metric_has_a_rule_and_its_default_is_within_its_bounds() -> None:
    assert set(RULES) == set(Metric)
    for rule in RULES.values():
        assert rule.default is None or rule.least <= rule.default <= rule.most


def test_every_key_has_a_meaning() -> None:
    assert all(key.means.endswith(".") and key.default for key in KEYS.values())


@pytest.mark.parametrize(
    ("metric", "least", "most"),
    [
        ("utilization", "0.01", "1"),
        ("slots", "1", "1000000"),
        ("sessions", "0.01", "1000000"),
        ("queue", "0.01", "1000000"),
    ],
)
def test_a_target_may_be_as_small_and_as_large_as_its_metric_allows(
    metric: str, least: str, most: str
) -> None:
    asked = {"fleet": "rec", "metric": metric}
    for text in (least, most):
        assert parse({**asked, "target": text}, "media").target == float(text)
    for text in (str(float(least) - 0.01), str(float(most) + 0.01)):
        with pytest.raises(TriggerError, match="target: a number from"):
            parse({**asked, "target": text}, "media")


@pytest.mark.parametrize("metric", ["slots", "queue"])
def test_one_place_or_one_waiting_request_is_the_target_unless_told(metric: str) -> None:
    assert parse({"fleet": "rec", "metric": metric}, "media").target == 1.0


def test_keda_sends_where_its_scaler_is_and_how_it_is_trusted() -> None:
    assert OF_KEDA == ("scalerAddress", "enableTLS", "unsafeSsl")
