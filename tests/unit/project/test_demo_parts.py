"""What the quick look and the demo judge by: figures, claims, the timeline of a list."""

import pytest
from rich.console import Console

from mediafleet_testbed.load.bursts import Burst, bars, quantile
from mediafleet_testbed.story.claims import Claims, Verdict
from mediafleet_testbed.story.cluster import SeenPod
from mediafleet_testbed.story.timeline import Timeline


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([1, 2, 3, 4], 0.5, 3), (range(100), 0.99, 99)],
)
def test_a_quantile_is_a_value_that_was_measured(
    values: list[float], share: float, expected: float | None
) -> None:
    assert quantile(values, share) == expected


def test_a_slow_figure_is_not_a_failure_and_a_missing_one_is() -> None:
    claims = Claims()
    claims.within("quick enough", 0.1, 1.0, "s")
    claims.within("too slow", 2.0, 1.0, "s")
    assert [claim.verdict for claim in claims.made] == [Verdict.PASS, Verdict.SLOW]
    assert not claims.failed
    claims.within("never measured", None, 1.0, "s")
    assert claims.failed


def test_every_claim_is_printed_with_its_verdict() -> None:
    claims = Claims()
    claims.holds("the sky is up", held=True)
    claims.holds("water is dry", held=False, detail="it was wet")
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as captured:
        claims.print(console)
    assert captured.get().split("\n")[1:3] == [
        "PASS  the sky is up",
        "FAIL  water is dry  it was wet",
    ]


def test_bars_name_workers_in_the_order_of_their_numbers() -> None:
    burst = Burst("x", {"pod-10": 1, "pod-9": 2, "pod-0": 0}, [], 0)
    assert [line.split()[0] for line in bars(burst)] == ["pod-0", "pod-9", "pod-10"]
    assert burst.skew == 2


def pod(name: str, *, ready: bool = True, state: str = "ready", deleting: bool = False) -> SeenPod:
    return SeenPod(name, name, "10.0.0.1", state, ready, deleting, f"https://{name}:8935")


def test_the_timeline_tells_when_a_node_left_the_list_and_when_it_was_deleted() -> None:
    line = Timeline()
    line.note_pods([pod("a"), pod("b")])
    assert line.note_list(("https://a:8935", "https://b:8935"))
    assert not line.note_list(("https://b:8935", "https://a:8935")), "order alone is no change"
    line.note_pods([pod("a"), pod("b", state="draining")])
    assert line.note_list(("https://a:8935",))
    assert line.left_the_list() == {"b"}
    line.note_pods([pod("a"), pod("b", state="draining", deleting=True)])
    assert line.draining["b"] <= line.unlisted["b"] <= line.gone["b"]
    assert set(line.gone) == {"b"}


def test_the_slowest_way_counts_only_nodes_that_made_it() -> None:
    line = Timeline()
    assert line.slowest({"a": 1.0, "b": 1.0}, {"a": 1.5}) == 0.5
    assert line.slowest({"a": 1.0}, {}) is None
