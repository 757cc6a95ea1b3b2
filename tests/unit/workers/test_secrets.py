"""Whose a worker's secret is: shared lines, and a file that names workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.broker.access.secrets import Holder, Secrets
from mediafleet_scheduler.broker.access.workers_file import NamedSecrets

ALICE = "workers: [{name: alice, secret: s-alice}]\n"


def rewrite(path: Path, text: str) -> None:
    """Another text, at another time: a clock may be coarse."""
    before = path.stat().st_mtime_ns
    path.write_text(text)
    os.utime(path, ns=(before + 1, before + 1))


def test_a_secret_says_whose_it_is_and_a_shared_one_nothing() -> None:
    secrets = Secrets(lambda: ["shared"], lambda: [("alice", "s-alice"), ("pool-a", "s-pool")])
    known = [secrets.holder(each) for each in ("shared", "s-alice", "s-pool", "", "s-alice ")]
    assert known == [Holder(), Holder("alice"), Holder("pool-a"), None, None]
    assert [secrets.accept(each) for each in ("shared", "s-pool", "x")] == [True, True, False]


def test_a_secret_that_is_shared_and_named_is_the_named_ones() -> None:
    assert Secrets(lambda: ["s"], lambda: [("alice", "s")]).holder("s") == Holder("alice")


def test_a_secret_that_no_text_can_be_is_nobodys() -> None:
    assert Secrets(lambda: ["s"]).holder("s\udcff") is None


def test_what_secrets_there_are_is_looked_up_each_time() -> None:
    named = [("alice", "old")]
    secrets = Secrets(list, lambda: list(named))
    assert secrets.holder("old") == Holder("alice")
    named[0] = ("alice", "new")
    assert (secrets.holder("old"), secrets.holder("new")) == (None, Holder("alice"))
    named.clear()
    assert secrets.holder("new") is None


def test_no_secret_is_in_what_is_told_of_a_workers_words() -> None:
    secrets = Secrets(lambda: ["shared"], lambda: [("alice", "s-alice")])
    assert secrets.hidden("shared and s-alice failed") == "*** and *** failed"


@pytest.mark.parametrize(
    ("holder", "worker", "other"),
    [
        (Holder(), None, False),
        (Holder("alice"), None, False),
        (Holder("alice"), "alice", False),
        (Holder("bob"), "alice", True),
        (Holder(), "alice", True),
    ],
)
def test_what_a_named_worker_was_given_nobody_else_may_answer(
    holder: Holder, worker: str | None, *, other: bool
) -> None:
    assert holder.is_other_than(worker) is other


def test_a_file_names_workers_with_their_secrets_and_is_followed(tmp_path: Path) -> None:
    path, beside = tmp_path / "workers.yaml", tmp_path / "pool-a"
    beside.write_text("s-pool\n")
    path.write_text(ALICE[:-2] + ", {name: pool-a, secret_file: pool-a}]\n")
    named = NamedSecrets(path)
    assert named() == [("alice", "s-alice"), ("pool-a", "s-pool")]
    rewrite(beside, "s-changed\n")
    assert named() == [("alice", "s-alice"), ("pool-a", "s-changed")]
    rewrite(path, "workers: [{name: alice, secret: old}, {name: alice, secret: new}]\n")
    assert named() == [("alice", "old"), ("alice", "new")]
    rewrite(path, "workers: []\n")
    assert named() == []


def test_a_file_that_breaks_or_goes_leaves_what_it_held_in_force_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "workers.yaml"
    path.write_text(ALICE)
    named = NamedSecrets(path)
    rewrite(path, "workers: [{name: alice, secrets: s-other}]\n")
    assert [named(), named()] == [[("alice", "s-alice")]] * 2
    path.unlink()
    assert named() == [("alice", "s-alice")]
    assert len(caplog.records) == 1
    assert "s-other" not in caplog.text
    path.write_text("workers: [{name: bob, secret: s-bob}]\n")
    assert named() == [("bob", "s-bob")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("workers: [{name: alice}]", "either secret or secret_file"),
        ("workers: [{name: alice, secret: s-1, secret_file: f}]", "either secret or secret_file"),
        ("workers: [{name: 'a b', secret: s-1}]", "name"),
        ("workers: [{name: a, secret: ' s-1'}]", "secret: write"),
        ("workers: [{name: a, secret: ''}]", "secret: write"),
        ("workers: [{name: a, secret: s-1}, {name: b, secret: s-1}]", "a and b have one secret"),
        ("workers: [{name: a, secret: [s-1]}]", "secret"),
        ("workers: [{name: a, secret_file: gone}]", "gone"),
        ("workers: [s-1", "not YAML"),
        ("[]", "workers"),
    ],
)
def test_a_file_of_workers_names_what_is_wrong_in_it_and_no_secret(
    tmp_path: Path, text: str, why: str
) -> None:
    path = tmp_path / "workers.yaml"
    path.write_text(text)
    with pytest.raises(CannotStartError, match=why) as refused:
        NamedSecrets(path)
    assert "s-1" not in str(refused.value)
