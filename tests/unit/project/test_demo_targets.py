"""The demo takes down what it has made, on whatever cluster, and nothing else."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest

from mediafleet_testbed.demo import demo, targets
from mediafleet_testbed.errors import TestbedError

PROGRAM = """#!/bin/sh
echo "$(basename $0) $*" >> "{log}"
case "$(basename $0) $*" in
{answers}
esac
"""
ANSWERS = """  *"config current-context") echo theirs;;
  *"job/story -o jsonpath"*) echo "1 ";;
"""


class Machine:
    """A PATH of programs that write down how they are called, and what each is to answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._log = folder / "calls"
        self.programs("kubectl", "helm", "kind", "docker")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setattr(shutil, "which", self._which)

    def _which(self, program: str, **_: object) -> str | None:
        path = self._folder / program
        return str(path) if path.exists() else None

    def programs(self, *names: str, answers: str = "") -> None:
        for name in names:
            path = self._folder / name
            path.write_text(PROGRAM.format(log=self._log, answers=answers + ANSWERS))
            path.chmod(0o755)

    def without(self, name: str) -> None:
        (self._folder / name).unlink()

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("IMAGE_PREFIX", "registry.example.com/us/")
    return Machine(tmp_path, monkeypatch)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(cluster: str, answer: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["demo", "--cluster", cluster])
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    with pytest.raises(SystemExit) as ended:
        demo.main()
    return int(ended.value.code or 0)


def test_a_cluster_whose_owner_says_no_is_not_touched(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("current", "n\n", monkeypatch) == 1
    assert machine.calls == [
        "kubectl config current-context",
        "kubectl --context=theirs get namespace media mediafleet --ignore-not-found -o name",
    ]


def test_a_cluster_that_runs_mediafleet_already_is_not_touched(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.programs("kubectl", answers='  *"get namespace"*) echo namespace/mediafleet;;\n')
    assert run("current", "y\n", monkeypatch) == 1
    assert not any(word in call for call in machine.calls for word in ("apply", "delete", "helm"))


def test_on_the_cluster_of_somebody_all_goes_to_the_context_that_was_agreed_to(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("current", "y\n", monkeypatch) == 0
    used = machine.calls[1:]
    assert all("context=theirs" in call for call in used)
    deleted = [call.partition("=theirs ")[2] for call in used[-3:]]
    assert deleted == [
        "delete namespace media --ignore-not-found",
        "uninstall mediafleet -n mediafleet --ignore-not-found",
        "delete namespace mediafleet --ignore-not-found",
    ]


def test_a_kind_cluster_that_was_there_before_stays(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.programs("kind", answers='  *"create cluster"*) echo exists >&2; exit 1;;\n')
    assert run("kind", "", monkeypatch) == 1
    assert machine.calls == ["kind create cluster --config kind-config.yaml"]


def test_a_kind_cluster_of_ours_is_made_filled_and_deleted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("kind", "", monkeypatch) == 0
    assert machine.calls[-1] == "kind delete cluster --name mediafleet"
    (load,) = (call for call in machine.calls if call.startswith("kind load"))
    for image in ("mediafleet:dev", "mediafleet-testbed:dev", "redis:dev", "livekit-server:dev"):
        assert image in load
    asked = [call for call in machine.calls if call.startswith(("kubectl", "helm"))]
    assert all("context=kind-mediafleet" in call for call in asked)


def test_what_is_missing_is_said_before_anything_is_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.without("docker")
    assert run("kind", "", monkeypatch) == 1
    assert "docker is not on PATH" in capsys.readouterr().out
    assert machine.calls == []


def test_without_a_place_for_the_images_nothing_is_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGE_PREFIX")
    with pytest.raises(TestbedError, match="IMAGE_PREFIX"):
        targets.Current().prepare()
    assert machine.calls == []
