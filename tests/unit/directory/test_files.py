"""Fleets and pools told by a file that is edited while the desk runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory import files
from mediafleet_scheduler.directory.entries import egress_view, pool_view
from mediafleet_scheduler.directory.entries_file import NodesFile, WorkersFile
from mediafleet_scheduler.directory.files import BrokenFileError, FileDirectory, parse

NODES = "nodes: [{name: n0, url: 'https://h:1', metrics: 'http://h:2/metrics'}]"
TWO_NODES = "nodes: [{name: n1, url: 'https://h:3'}, {name: n0, url: 'https://h:1'}]"


class Follower:
    """A nodes file in a folder of its own, and what its directory makes of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "nodes.yaml"
        self.registry = CollectorRegistry()
        self.directory = FileDirectory[NodesFile, PoolView](
            self.path, NodesFile, pool_view, self.registry
        )
        self.views: list[PoolView] = []
        self.directory.subscribe(self.views.append)

    def write(self, text: str | bytes) -> None:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)

    def poll(self, times: int = 2) -> None:
        for _ in range(times):
            self.directory.poll()

    def loads(self, result: str) -> float:
        name = "mediafleet_directory_file_loads_total"
        return self.registry.get_sample_value(name, {"result": result}) or 0.0

    @property
    def names(self) -> list[str]:
        view = self.directory.view
        return [] if view is None else [node.name for node in view.nodes]


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(tmp_path)


def test_the_first_content_is_a_view_at_once(follower: Follower) -> None:
    follower.write(NODES)
    follower.poll(1)
    assert follower.names == ["n0"]
    assert len(follower.views) == 1


def test_a_change_is_a_view_and_no_change_is_none(follower: Follower) -> None:
    follower.write(NODES)
    follower.poll(3)
    follower.write(TWO_NODES)
    follower.poll(3)
    assert follower.names == ["n0", "n1"]
    assert len(follower.views) == 2


def test_a_file_that_is_being_written_is_not_read_in_the_middle(follower: Follower) -> None:
    follower.write(TWO_NODES)
    follower.poll()
    follower.write("nodes: [{name: n0, url: 'https://h:1'}]\n")
    follower.poll(1)
    follower.write("nodes: [{name: n0, url: 'https://h:1'}, {name: n1, url: 'https://h:9'}]\n")
    follower.poll()
    assert [len(view.nodes) for view in follower.views] == [2, 2]


def test_a_rename_over_the_file_with_its_old_times_is_seen(follower: Follower) -> None:
    follower.write(NODES)
    follower.poll()
    times = follower.path.stat()
    other = follower.path.with_suffix(".new")
    other.write_text(TWO_NODES)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(follower.path)
    follower.poll()
    assert follower.names == ["n0", "n1"]


def test_a_file_that_is_replaced_all_the_time_is_read_all_the_same(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WAIT_SECONDS", -1.0)
    follower.write(NODES)
    follower.poll()
    for number in range(4):
        other = follower.path.with_suffix(f".{number}")
        other.write_text(TWO_NODES if number % 2 else NODES)
        other.rename(follower.path)
        follower.poll(1)
    assert [len(view.nodes) for view in follower.views] == [1, 2, 1, 2]


def test_a_file_that_grows_beyond_the_limit_is_told_once(
    follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    for size in range(1, 4):
        with follower.path.open("wb") as file:
            file.truncate(16 * 1024 * 1024 + size)
        follower.poll(1)
    assert [each.getMessage() for each in caplog.records if "more than" in each.getMessage()] == [
        f"{follower.path}: it has more than 16777216 bytes; waiting for it"
    ]


BROKEN = {
    "not yaml": (b"nodes: [", "not YAML"),
    "not utf-8": (b"nodes: \xff\xfe", "not YAML"),
    "empty": (b"", "it is empty; write "),
    "a list": (b"- 1", "it is no mapping; write "),
    "a field that is missing": (b"nodes: [{name: a}]", "nodes.0.url: Field required"),
    "a field that is not known": (b"nodes: []\nnodez: []", "nodez: Extra inputs"),
    "a wrong type": (b"nodes: 7", "nodes: Input should be a valid list"),
    "deep nesting": (b"nodes: " + b"[" * 100_000, "nested more than"),
    "deep block nesting": (b"- " * 100_000, "nested more than"),
    "a billion laughs": (
        b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a]\nnodes: [*b,*b,*b]",
        "Input should be a valid dictionary",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_reported_once_and_the_last_view_stays(
    follower: Follower, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, reason = BROKEN[name]
    follower.write(NODES)
    follower.poll()
    follower.write(content)
    follower.poll(5)
    assert follower.names == ["n0"]
    assert reason in (follower.directory.complaint or "")
    assert follower.loads("broken") == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "stays in force" in caplog.text


def test_a_repaired_file_counts_again(follower: Follower) -> None:
    follower.write(NODES)
    follower.poll()
    follower.write("nodes: [")
    follower.poll()
    follower.write(TWO_NODES)
    follower.poll()
    assert follower.names == ["n0", "n1"]
    assert follower.directory.complaint is None
    assert follower.loads("ok") == 2


def test_a_file_that_goes_and_comes_back_unchanged_is_no_longer_complained_of(
    follower: Follower,
) -> None:
    follower.poll()
    assert "No such file" in (follower.directory.complaint or "")
    follower.write(NODES)
    follower.poll(1)
    follower.path.unlink()
    follower.poll()
    assert follower.names == ["n0"]
    follower.write(NODES)
    follower.poll()
    assert follower.directory.complaint is None
    assert len(follower.views) == 1


def test_a_node_keeps_the_time_of_its_last_change() -> None:
    first = pool_view(parse(NODES.encode(), NodesFile), None, 100.0)
    text = TWO_NODES.replace("'https://h:3'", "'https://h:3', state: draining")
    second = pool_view(parse(text.encode(), NodesFile), first, 200.0)
    assert [(n.name, n.changed_at) for n in second.nodes] == [("n0", None), ("n1", 200.0)]
    drained = TWO_NODES.replace("'https://h:1'", "'https://h:1', state: draining")
    third = pool_view(parse(drained.encode(), NodesFile), second, 300.0)
    assert [(n.state, n.changed_at) for n in third.nodes] == [
        (PodState.DRAINING, 300.0),
        (PodState.READY, 300.0),
    ]


def test_a_workers_file_becomes_fleets() -> None:
    text = """
    fleets:
      - name: web
        placement: {cpu: 4}
        workers: [{name: b, cluster_id: cb}, {name: a, cluster_id: ca, cpu: 12, memory: 1000}]
      - {name: rec, placement: {mode: spread}, accepts: [track, room_composite]}
    """
    view = egress_view(parse(text.encode(), WorkersFile), None, 0.0)
    rec, web = view.fleets
    assert (rec.key, rec.placement.mode, rec.workers) == ("/rec", Mode.SPREAD, ())
    assert rec.accepts == {RequestType.TRACK, RequestType.ROOM_COMPOSITE}
    assert web.accepts == set(RequestType)
    assert [(w.name, w.cluster_id, w.cpu_cores, w.memory_bytes) for w in web.workers] == [
        ("a", "ca", 12, 1000),
        ("b", "cb", 4, None),
    ]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_file_or_a_reason(content: bytes) -> None:
    for model in (NodesFile, WorkersFile):
        with suppress(BrokenFileError):
            parse(content, model)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ("[{name: a, url: 'https://h:1'}, {name: a, url: 'https://h:2'}]", "two nodes have the"),
        ("[{name: a, url: 'https://h:1', pod_url: '127.0.0.1:1'}]", "pod_url: .* https://"),
    ],
)
def test_two_nodes_of_one_name_and_a_pod_url_without_scheme_are_refused(
    nodes: str, why: str
) -> None:
    with pytest.raises(BrokenFileError, match=why):
        parse(f"nodes: {nodes}".encode(), NodesFile)


def test_a_field_that_is_written_as_null_is_as_good_as_absent() -> None:
    worker = b"{name: w, cluster_id: w, metrics: null, cpu: null, memory: null}"
    read = parse(b"fleets: [{name: a, workers: [%s]}]" % worker, WorkersFile)
    (entry,) = read.fleets[0].workers
    assert (entry.metrics, entry.cpu, entry.memory) == (None, None, None)


def test_each_wrong_field_of_a_worker_is_named_with_its_fix() -> None:
    text = b"""
fleets:
  - name: rec
    workers:
      - {name: 1, cluster_id: 01, cpu: 4000m, metrics: "127.0.0.1:9091/metrics", memory: 4Gi}
"""
    with pytest.raises(BrokenFileError) as told:
        parse(text, WorkersFile)
    for words in (
        "name: write it in quotes",
        "cluster_id: write it in quotes",
        "cpu: write a number of CPUs: 4",
        "metrics: write the whole URL",
        "memory: write a number of bytes: 4294967296",
    ):
        assert words in str(told.value)


@pytest.mark.parametrize("path", ["/dev/zero", "/", "a\0b"])
def test_a_path_that_is_no_file_is_a_complaint_and_not_the_end(path: str) -> None:
    directory = FileDirectory(Path(path), WorkersFile, egress_view, CollectorRegistry())
    for _ in range(3):
        directory.poll()
    assert directory.complaint is not None
