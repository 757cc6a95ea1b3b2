"""`mediafleet egress-config`: the user's egress config merged with what mediafleet sets.

Runs once at the start of every egress pod, before the worker, so it imports little: os, json,
yaml, and the names that others must agree on.

What the user wrote is carried over as the parser's nodes and never as values: Go reads `01234567`
or `no` in a string field as that text, which Python's values have lost.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from mediafleet_common.api.names import cluster_id
from mediafleet_common.formats import go_yaml
from mediafleet_common.reports.merged_config import (
    IO_UPDATE_SECONDS,
    TERMINATION_LOG,
    MergedConfig,
    to_text,
)
from mediafleet_common.serving.small_files import read_small_text

USAGE = "usage: mediafleet egress-config --in FILE --out FILE"
OPTIONS = ("--in", "--out")


_REDIS_WHERE = ("address", "sentinel_master_name", "sentinel_addresses", "cluster_addresses")
"""How Redis is found: of several ways the worker would follow another than the desk."""

_REDIS_SECRETS = {
    "password": "MEDIAFLEET_REDIS_PASSWORD",
    "sentinel_password": "MEDIAFLEET_REDIS_SENTINEL_PASSWORD",
}


_FROM_ENVIRONMENT = ("api_secret", "ws_url")
"""Egress takes them from LIVEKIT_API_SECRET and LIVEKIT_WS_URL where its config has none."""
_MAPPINGS = ("redis", "cpu_cost", "storage", "s3", "gcp", "azure", "alioss", "logging")
_NEVER_FOLD = 1 << 30
_COST = re.compile(r"[a-z_]*(?:_cost|_utilization|_memory|_clients)")
_DURATION = re.compile(
    r"(?:(?:[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})(?:ns|us|µs|ms|s|m|h)){1,8}"
)
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


_MEMORY = {
    "max_memory": "maxGb",
    "memory_cost": "costGb",
    "sdk_audio_room_composite_memory_cost": "sdkAudioCostGb",
}
"""Fields of `spec.placement.memory`, by the keys that they become."""


class ConfigError(Exception):
    """The config cannot be made; the text says what to correct."""


def merge(user: MappingNode, ours: Mapping[str, Any]) -> list[str]:
    """Lay ours over the user's config, key by key; the keys that ours replaced."""
    replaced: list[str] = []
    before = {key.value: (key, value) for key, value in user.value}
    for name, value in ours.items():
        key, old = before.get(name, (_node(name), None))
        if isinstance(value, Mapping) and isinstance(old, MappingNode):
            # A copy: what an alias names elsewhere stays as it is.
            new: Node = MappingNode(old.tag, list(old.value))
            assert isinstance(new, MappingNode)
            replaced += [f"{name}.{each}" for each in merge(new, value)]
        else:
            new = _node(value)
            if not go_yaml.is_null(old) and not _same(old, new):
                replaced.append(name)
        before[name] = (key, new)
    user.value = list(before.values())
    return replaced


def _node(value: object) -> Node:
    """A value of ours. JSON is YAML."""
    import yaml

    node = yaml.compose(json.dumps(value), Loader=yaml.SafeLoader)
    assert node is not None
    return node


def _same(one: Node | None, other: Node) -> bool:
    if isinstance(one, ScalarNode) and isinstance(other, ScalarNode):
        return bool(one.value == other.value)
    return False


def without_redis_where(user: MappingNode) -> None:
    """Take out where Redis is: the fleet's `spec.redis` alone says that."""
    for index, (key, value) in enumerate(user.value):
        if key.value == "redis" and isinstance(value, MappingNode):
            kept = [pair for pair in value.value if pair[0].value not in _REDIS_WHERE]
            user.value[index] = (key, MappingNode(value.tag, kept))


def check(user: MappingNode) -> None:
    """Whether a config is one of egress.

    Raises:
        ConfigError: it is not; each problem with its fix.
    """
    keys = {key.value: value for key, value in user.value}
    problems = []
    if "api_key" not in keys:
        below = [name for name, value in keys.items() if _has_api_key(value)]
        if below:
            raise ConfigError(
                f"your egress config is a whole values file: write what stands below `{below[0]}`"
            )
    for name in ("api_key", *_FROM_ENVIRONMENT):
        try:
            if not go_yaml.text(keys.get(name)) and name not in _FROM_ENVIRONMENT:
                problems.append(f"{name} is missing: write the key that livekit-server knows")
        except go_yaml.WrongKindError as error:
            problems.append(f"{name}: {error}")
    for name in _MAPPINGS:
        if name in keys and not go_yaml.is_null(keys[name]):
            try:
                go_yaml.fields(keys[name])
            except go_yaml.WrongKindError as error:
                problems.append(f"{name}: {error}")
    if problems:
        raise ConfigError(f"your egress config: {'; '.join(problems)}")


def _has_api_key(node: Node) -> bool:
    return isinstance(node, MappingNode) and "api_key" in [key.value for key, _ in node.value]


def refuse_uncounted(user: MappingNode, ours: Mapping[str, Any]) -> None:
    """The worker must not count memory that the desk does not.

    Source: livekit/egress pkg/stats/monitor.go (checkMemoryAdmissionLocked).

    Raises:
        ConfigError: it would; with the fields to set.
    """
    fleets = ours.get("cpu_cost", {})
    costs = next((node for key, node in user.value if key.value == "cpu_cost"), None)
    # With engine native no desk counts.
    if not isinstance(costs, MappingNode) or "max_memory" in fleets or not ours["cluster_id"]:
        return
    given = {key.value: value.value for key, value in costs.value if key.value in _MEMORY}
    if given.get("max_memory") in (None, "", "0", "0.0", "~", "null"):
        return
    fields = ", ".join(f"spec.placement.memory.{_MEMORY[key]}" for key in given)
    raise ConfigError(
        "your egress config has cpu_cost.max_memory, which the desk does not count: it would give "
        f"pods jobs that they refuse. Set {fields} to the same instead"
    )


def ours(environment: Mapping[str, str]) -> dict[str, Any]:
    """The part of the config that is mediafleet's.

    Raises:
        ConfigError: the environment does not hold it: this is not the pod of a fleet.
    """
    try:
        config: dict[str, Any] = json.loads(environment["MEDIAFLEET_EGRESS_CONFIG"])
        pod = [environment[f"POD_{part}"] for part in ("NAMESPACE", "NAME", "UID")]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"this runs in the pods of an EgressFleet: {error} is missing") from error
    # With engine native it is there already, and empty: the topic that livekit-server calls.
    config.setdefault("cluster_id", cluster_id(*pod))
    for key, name in _REDIS_SECRETS.items():
        if secret := environment.get(name):
            if not secret.isascii() and "\udc80" <= max(secret) <= "\udcff":
                raise ConfigError(f"{name} is not UTF-8: the Secret holds other bytes")
            config["redis"][key] = secret
    return config


def read(path: Path) -> MappingNode | None:
    """The user's config; `None` when the fleet names none.

    Raises:
        ConfigError: it is not a YAML mapping, as Go reads it.
    """
    try:
        node = go_yaml.document(read_small_text(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except go_yaml.BadYamlError as error:
        # The text itself may hold secrets and is not repeated.
        raise ConfigError(f"your egress config: {error}") from None
    if node is None:
        return MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(node, MappingNode):
        raise ConfigError("your egress config is not a mapping: write it as key: value lines")
    return node


def write(path: Path, config: MappingNode) -> None:
    """Write it for the worker, which runs as the same user, and for nobody else."""
    import yaml

    _in_blocks(config, set())
    text = yaml.serialize(config, Dumper=yaml.SafeDumper, width=_NEVER_FOLD, allow_unicode=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _in_blocks(node: Node, seen: set[int]) -> None:
    """Between braces, a time such as 12:30:45 could not stand without quotes."""
    if id(node) in seen or not isinstance(node, CollectionNode):
        return
    seen.add(id(node))
    node.flow_style = False
    for each in node.value:
        for part in each if isinstance(each, tuple) else (each,):
            _in_blocks(part, seen)


def merged(config: MappingNode) -> MergedConfig:
    """What operator and desk have to know of the merged config."""
    keys = {key.value: value for key, value in config.value}
    timeout = _seconds(keys.get("io_update_timeout"))
    given = keys.get("cpu_cost")
    costs = given.value if isinstance(given, MappingNode) else ()
    numbers = {key.value: _number(value) for key, value in costs if _COST.fullmatch(key.value)}
    return MergedConfig(timeout, {k: v for k, v in numbers.items() if v is not None})


def _seconds(node: Node | None) -> float | None:
    """A time as Go reads it: `90s`, `1m30s`, or nanoseconds; `None`: not to be understood."""
    if go_yaml.is_null(node):
        return IO_UPDATE_SECONDS
    text = node.value if isinstance(node, ScalarNode) else ""
    nanoseconds = _number(node)
    if nanoseconds is not None:
        return nanoseconds * 1e-9 or IO_UPDATE_SECONDS
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _number(node: Node | None) -> float | None:
    try:
        return float(node.value) if isinstance(node, ScalarNode) else None
    except ValueError:
        return None


def write_report(path: Path, config: MergedConfig) -> None:
    """Leave it for kubelet, where there is one; the pod starts all the same."""
    try:
        if path.exists():
            path.write_text(to_text(config), encoding="utf-8")
    except OSError as error:
        print(f"egress-config: {path}: {error.strerror}", file=sys.stderr)


def make_home(home: str | None) -> None:
    """The folders that the egress image brings, in the volume mounted over them.

    PulseAudio takes its runtime folder only when it belongs to the user that runs it, so it
    cannot be a volume of its own.
    """
    if home:
        for folder in ("tmp", ".cache/xdgr"):
            Path(home, folder).mkdir(parents=True, exist_ok=True)


def main(arguments: list[str]) -> int:
    """Run the command; exit status."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) != 2 * len(OPTIONS) or set(options) != set(OPTIONS):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        user, over = read(Path(options["--in"])), ours(os.environ)
        if user is None:
            user = MappingNode("tag:yaml.org,2002:map", [])
        else:
            check(user)
        without_redis_where(user)
        refuse_uncounted(user, over)
        replaced = merge(user, over)
        write(Path(options["--out"]), user)
        write_report(Path(TERMINATION_LOG), merged(user))
        make_home(os.environ.get("MEDIAFLEET_EGRESS_HOME"))
    except (ConfigError, OSError) as error:
        print(f"egress-config: {error}", file=sys.stderr)
        return 1
    note = f"; set by the EgressFleet instead: {', '.join(replaced)}" if replaced else ""
    topic = over["cluster_id"] or "empty (placement.engine native)"
    print(f"egress-config: cluster_id {topic}{note}")
    return 0
