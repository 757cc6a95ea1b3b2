"""The egress config that a pod starts with: the user's, with what the fleet says over it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mediafleet.in_pod import egress_config
from mediafleet.in_pod.egress_config import (
    ConfigError,
    main,
    merge,
    ours,
    read,
    without_redis_where,
)

OURS = {
    "redis": {"address": "redis:6379", "db": 0},
    "health_port": 9092,
    "cpu_cost": {"web_cpu_cost": 3},
}
POD = {"POD_NAMESPACE": "media", "POD_NAME": "rec-0", "POD_UID": "0123456789abcdef"}
ENV = {**POD, "MEDIAFLEET_EGRESS_CONFIG": json.dumps(OURS)}


def test_ours_wins_key_by_key_and_says_where() -> None:
    user = {
        "api_key": "k",
        "redis": {"dial_timeout": 5, "db": 3},
        "health_port": 1,
        "cpu_cost": {"max_memory": 4},
    }
    config, replaced = merge(user, OURS)

    assert config == {
        "api_key": "k",
        "redis": {"dial_timeout": 5, "address": "redis:6379", "db": 0},
        "health_port": 9092,
        "cpu_cost": {"max_memory": 4, "web_cpu_cost": 3},
    }
    assert replaced == ["redis.db", "health_port"]


def test_where_redis_is_comes_from_the_fleet_alone() -> None:
    user = {"redis": {"sentinel_master_name": "m", "sentinel_addresses": ["s"], "pool_size": 9}}

    assert without_redis_where(user) == {"redis": {"pool_size": 9}}
    assert without_redis_where({"redis": None}) == {"redis": None}


def test_the_topic_is_the_pods_own() -> None:
    assert ours(ENV)["cluster_id"] == "media.rec-0.01234567"


def test_the_password_comes_from_the_environment() -> None:
    assert ours({**ENV, "MEDIAFLEET_REDIS_PASSWORD": "s3"})["redis"]["password"] == "s3"
    assert "password" not in ours(ENV)["redis"]
    guarded = ours({**ENV, "MEDIAFLEET_REDIS_SENTINEL_PASSWORD": "s4"})
    assert guarded["redis"]["sentinel_password"] == "s4"


@pytest.mark.parametrize("missing", sorted(ENV))
def test_outside_of_a_fleet_it_says_so(missing: str) -> None:
    with pytest.raises(ConfigError, match="pods of an EgressFleet"):
        ours({key: value for key, value in ENV.items() if key != missing})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("api_key: [", "not YAML in line"),
        ("a: b\nc: d: e\n", "not YAML in line 2"),
        ("- a\n- b\n", "not a mapping"),
        ("just words", "not a mapping"),
        ("secret: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_config_that_cannot_be_read_is_named_and_not_repeated(
    tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=words) as caught:
        read(file)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", None])
def test_no_config_is_an_empty_one(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "config.yaml"
    if text is not None:
        file.write_text(text)

    assert read(file) == {}


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> tuple[int, Path]:
    source, target = tmp_path / "in.yaml", tmp_path / "out.yaml"
    source.write_text(user)
    for key, value in ENV.items():
        monkeypatch.setenv(key, value)
    return main(["--in", str(source), "--out", str(target)]), target


def test_the_command_writes_what_only_its_user_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDIAFLEET_EGRESS_HOME", str(tmp_path / "home"))
    status, target = run(tmp_path, monkeypatch, "api_secret: s3cret\nhealth_port: 1\n")
    written: dict[str, Any] = yaml.safe_load(target.read_text())
    said = capsys.readouterr().out

    assert status == 0
    assert written["api_secret"] == "s3cret"
    assert written["cluster_id"] == "media.rec-0.01234567"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (tmp_path / "home/.cache/xdgr").is_dir()
    assert "health_port" in said
    assert "s3cret" not in said


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, target = run(tmp_path, monkeypatch, "[")

    assert status == 1
    assert capsys.readouterr().err.startswith("egress-config: your egress config is not YAML")
    assert not target.exists()


@pytest.mark.parametrize("arguments", [[], ["--in", "a"], ["--in", "a", "--from", "b"], ["-h"]])
def test_the_command_explains_itself(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert egress_config.USAGE in capsys.readouterr().err


def test_it_imports_little() -> None:
    """Every pod pays for it at its start."""
    code = (
        "import sys; from mediafleet.main import main; import mediafleet.in_pod.egress_config; "
        "print([m for m in ('typer', 'pydantic', 'rich', 'kopf', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
