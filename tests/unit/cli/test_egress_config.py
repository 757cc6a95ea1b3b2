"""The egress config that a pod starts with: the user's, with what the fleet says over it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from yaml.nodes import MappingNode

from mediafleet.in_pod import egress_config
from mediafleet.in_pod.egress_config import (
    ConfigError,
    main,
    merge,
    ours,
    read,
    without_redis_where,
)
from mediafleet_common.formats import go_yaml
from mediafleet_common.reports import merged_config
from mediafleet_common.reports.merged_config import MergedConfig

OURS = {
    "redis": {"address": "redis:6379", "db": 0},
    "health_port": 9092,
    "cpu_cost": {"web_cpu_cost": 3},
}
POD = {"POD_NAMESPACE": "media", "POD_NAME": "rec-0", "POD_UID": "0123456789abcdef"}
ENV = {**POD, "MEDIAFLEET_EGRESS_CONFIG": json.dumps(OURS)}


def mapping(text: str) -> MappingNode:
    node = go_yaml.document(text)
    assert isinstance(node, MappingNode)
    return node


def written(node: MappingNode) -> Any:
    return yaml.safe_load(yaml.serialize(node))


def test_ours_wins_key_by_key_and_says_where() -> None:
    user = mapping(
        "{api_key: k, redis: {dial_timeout: 5, db: 3}, health_port: 1, cpu_cost: {max_memory: 4}}"
    )
    replaced = merge(user, OURS)

    assert written(user) == {
        "api_key": "k",
        "redis": {"dial_timeout": 5, "address": "redis:6379", "db": 0},
        "health_port": 9092,
        "cpu_cost": {"max_memory": 4, "web_cpu_cost": 3},
    }
    assert replaced == ["redis.db", "health_port"]


def test_what_an_alias_names_elsewhere_stays_as_it_is() -> None:
    user = mapping("mine: &m {db: 3}\nredis: *m\n")
    merge(user, OURS)
    assert written(user)["mine"] == {"db": 3}


def test_where_redis_is_comes_from_the_fleet_alone() -> None:
    user = mapping("redis: {sentinel_master_name: m, sentinel_addresses: [s], pool_size: 9}")
    without_redis_where(user)
    assert written(user) == {"redis": {"pool_size": 9}}
    nothing = mapping("redis:\na: b\n")
    without_redis_where(nothing)
    assert written(nothing) == {"redis": None, "a": "b"}


SCALARS = {
    "api_key": "12_34",
    "api_secret": "01234567",
    "template_base": "1.10",
    "ws_url": "ws://x",
    "region": "no",
    "bucket": "on",
    "access_key": "0x1F",
    "secret": "12:30:45",
    "day": "2024-11-28",
    "moment": "2001-12-14 21:59:43.10",
    "merge": "=",
}


@pytest.mark.parametrize("flow", [True, False])
def test_every_scalar_reaches_egress_as_the_text_that_the_user_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow: bool
) -> None:
    lines = [f"{key}: {value}" for key, value in SCALARS.items()]
    body = f"{{{', '.join(lines)}}}" if flow else "\n  " + "\n  ".join(lines)
    text = "api_key: k\napi_secret: s\nws_url: ws://x:80\ns3: " + body + "\n"
    status, target = run(tmp_path, monkeypatch, text)
    assert status == 0
    s3 = go_yaml.fields(go_yaml.fields(go_yaml.document(target.read_text()))["s3"])
    assert {key: go_yaml.text(value) for key, value in s3.items()} == SCALARS
    # A tag would make another type of it, and quotes no number any more.
    assert "!!" not in target.read_text()


def test_numbers_and_empty_values_stay_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "api_key: k\napi_secret:\ntemplate_port: 7980\nredis:\ns3:\ncpu_cost:\ninsecure: false\n"
    status, target = run(tmp_path, monkeypatch, text)
    config = yaml.safe_load(target.read_text())
    assert status == 0
    assert (config["template_port"], config["insecure"], config["s3"]) == (7980, False, None)
    assert config["redis"]["address"] == "redis:6379"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log_level: debug", "api_key is missing"),
        ("api_key:", "api_key is missing"),
        ("egress: {api_key: k, api_secret: s}", "whole values file: .* below `egress`"),
        ("api_key: [a]\ns3: x\nredis: 3", "api_key: write a text; redis: write .*; s3: write"),
        ("api_key: k\napi_key: canary", "a key stands twice"),
    ],
)
def test_what_is_no_config_of_egress_is_refused_with_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    words: str,
) -> None:
    status, target = run(tmp_path, monkeypatch, text)
    said = capsys.readouterr().err
    assert status == 1
    assert re.search(words, said), said
    assert "canary" not in said
    assert not target.exists()


def test_a_password_that_is_not_utf_8_is_refused_by_the_name_of_its_variable() -> None:
    with pytest.raises(ConfigError, match="MEDIAFLEET_REDIS_PASSWORD is not UTF-8"):
        ours({**ENV, "MEDIAFLEET_REDIS_PASSWORD": "a\udcff"})


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


def test_a_fleet_that_names_no_config_has_none(tmp_path: Path) -> None:
    assert read(tmp_path / "config.yaml") is None


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
    status, target = run(tmp_path, monkeypatch, "api_key: k\napi_secret: s3cret\nhealth_port: 1\n")
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
    assert capsys.readouterr().err.startswith("egress-config: your egress config: it is not YAML")
    assert not target.exists()


@pytest.mark.parametrize("arguments", [[], ["--in", "a"], ["--in", "a", "--from", "b"], ["-h"]])
def test_the_command_explains_itself(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert egress_config.USAGE in capsys.readouterr().err


def test_operator_and_desk_are_told_the_costs_of_the_merged_config_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setattr(egress_config, "TERMINATION_LOG", str(log))
    user = (
        "api_key: k\napi_secret: s3cret\nio_update_timeout: 1m30s\n"
        "cpu_cost: {track_cpu_cost: 1, memory_source: s3cret, x_cost: s3cret}\n"
    )
    assert run(tmp_path, monkeypatch, user)[0] == 0

    told = merged_config.of_text(log.read_text())
    assert told == MergedConfig(90.0, {"track_cpu_cost": 1.0, "web_cpu_cost": 3.0})
    assert "s3cret" not in log.read_text()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("", 30.0), ("45s", 45.0), ("1.5m", 90.0), ("5000000000", 5.0), ("0", 30.0), ("soon", None)],
)
def test_how_long_an_update_may_take_is_read_as_go_does(
    written: str, seconds: float | None
) -> None:
    config = mapping(f"api_key: k\nio_update_timeout: {written}\n")
    assert egress_config.merged(config).io_update_seconds == seconds


def test_it_imports_little() -> None:
    """Every pod pays for it at its start."""
    code = (
        "import sys; from mediafleet.main import main; import mediafleet.in_pod.egress_config; "
        "print([m for m in ('typer', 'pydantic', 'rich', 'kopf', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


MEMORY = "api_key: k\ncpu_cost: {max_memory: 8, memory_cost: 0.5}\n"


def test_memory_that_the_desk_would_not_count_is_refused_with_the_fields_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, target = run(tmp_path, monkeypatch, MEMORY)
    said = capsys.readouterr().err

    assert status == 1
    assert "spec.placement.memory.maxGb" in said
    assert "spec.placement.memory.costGb" in said
    assert not target.exists()


@pytest.mark.parametrize(
    ("user", "ours"),
    [
        (MEMORY, {**OURS, "cpu_cost": {"max_memory": 8.0, "memory_cost": 0.5}}),
        (MEMORY, {**OURS, "cluster_id": ""}),
        ("api_key: k\ncpu_cost: {max_memory: 0, memory_cost: 0.5}\n", OURS),
        ("api_key: k\ncpu_cost:\n", OURS),
    ],
    ids=["the fleet says it too", "engine native", "no limit", "nothing"],
)
def test_memory_that_both_count_or_nobody_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, ours: dict[str, Any]
) -> None:
    monkeypatch.setitem(ENV, "MEDIAFLEET_EGRESS_CONFIG", json.dumps(ours))
    assert run(tmp_path, monkeypatch, user)[0] == 0
