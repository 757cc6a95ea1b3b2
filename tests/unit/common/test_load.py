"""What workers' metrics say of their load: absent and meaningless is unknown, never 0."""

import pytest

from mediafleet_common.probes.load import Load, Source, UnreadableMetricsError, parse

IDLE = 'livekit_egress_available{node_id="a"} 1\n'
BUSY = 'livekit_egress_available{node_id="a"} 0\n'


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        (IDLE, 0),
        (BUSY + 'livekit_egress_requests{type="track"} 3\n', 3),
        (
            BUSY
            + 'livekit_egress_requests{type="web"} 1\nlivekit_egress_requests{type="track"} 2\n',
            3,
        ),
        (BUSY, 1),
        (IDLE + 'livekit_egress_requests{type="track"} 0\n', 0),
        ("livekit_node_cpu_load 0.5\n", None),
        ("# HELP go_goroutines Their number.\ngo_goroutines 7\n", None),
        ("", None),
        ("livekit_egress_available NaN\n", None),
    ],
    ids=[
        "nothing ever ran: no series of requests yet",
        "jobs",
        "jobs of several types",
        "a job is starting and not counted yet",
        "the last job has ended",
        "nothing about jobs",
        "other metrics",
        "empty",
        "not a number",
    ],
)
def test_jobs_of_an_egress_worker(text: str, jobs: int | None) -> None:
    assert parse(text, Source.EGRESS).jobs == jobs


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (
            "livepeer_current_sessions_total 2\nlivepeer_max_sessions_total 10\n",
            Load(jobs=2, capacity=10),
        ),
        ("livepeer_max_sessions_total 10\n", Load(jobs=None, capacity=10)),
        ("livepeer_current_sessions_total +Inf\n", Load()),
    ],
)
def test_sessions_of_a_transcoding_node(text: str, load: Load) -> None:
    assert parse(text, Source.TRANSCODE) == load


def test_containers_in_use_of_an_ai_node_and_those_that_are_idle_are_what_it_takes() -> None:
    name = "livepeer_ai_container_in_use"
    text = f'{name}{{pipeline="a"}} 1\n{name}{{pipeline="b"}} 2\n'
    assert parse(text, Source.DOCKER_AI) == Load(jobs=3)
    idle = f'{name.replace("in_use", "idle")}{{pipeline="a"}} 2\n'
    assert parse(text + idle, Source.DOCKER_AI) == Load(jobs=3, capacity=5)
    assert parse(idle, Source.DOCKER_AI) == Load()


def test_what_is_no_exposition_is_said_to_be_none() -> None:
    with pytest.raises(UnreadableMetricsError):
        parse("<html>not metrics</html>", Source.EGRESS)
    with pytest.raises(UnreadableMetricsError):
        parse("livekit_egress_available{oops 1\n", Source.EGRESS)
