"""`mediafleet egress-config`: the user's egress config merged with what mediafleet sets.

Runs once at the start of every egress pod, before the worker, so it imports little: os, json,
yaml, and the names that others must agree on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mediafleet_common.api.names import cluster_id

USAGE = "usage: mediafleet egress-config --in FILE --out FILE"
OPTIONS = ("--in", "--out")


_REDIS_WHERE = ("address", "sentinel_master_name", "sentinel_addresses", "cluster_addresses")
"""How Redis is found: of several ways the worker would follow another than the desk."""

_REDIS_SECRETS = {
    "password": "MEDIAFLEET_REDIS_PASSWORD",
    "sentinel_password": "MEDIAFLEET_REDIS_SENTINEL_PASSWORD",
}


class ConfigError(Exception):
    """The config cannot be made; the text says what to correct."""


def merge(user: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The user's config with ours over it, key by key, and the keys that ours replaced."""
    replaced: list[str] = []
    result = dict(user)
    for key, value in ours.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            result[key], below = merge(before, value)
            replaced += [f"{key}.{each}" for each in below]
        else:
            if before is not None and before != value:
                replaced.append(key)
            result[key] = value
    return result, replaced


def without_redis_where(user: Mapping[str, Any]) -> dict[str, Any]:
    """The user's config without where Redis is: the fleet's `spec.redis` alone says that."""
    redis = user.get("redis")
    if not isinstance(redis, Mapping):
        return dict(user)
    return {**user, "redis": {key: redis[key] for key in redis if key not in _REDIS_WHERE}}


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
            config["redis"][key] = secret
    return config


def read(path: Path) -> dict[str, Any]:
    """The user's config; empty when the fleet names none.

    Raises:
        ConfigError: it is not a YAML mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        # The text itself may hold secrets and is not repeated.
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigError(f"your egress config is not YAML{line}: {problem}") from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise ConfigError("your egress config is not a mapping: write it as key: value lines")
    return config


def write(path: Path, config: Mapping[str, Any]) -> None:
    """Write it for the worker, which runs as the same user, and for nobody else. JSON is YAML."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1), encoding="utf-8")


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
        config, replaced = merge(without_redis_where(read(Path(options["--in"]))), ours(os.environ))
        write(Path(options["--out"]), config)
        make_home(os.environ.get("MEDIAFLEET_EGRESS_HOME"))
    except (ConfigError, OSError) as error:
        print(f"egress-config: {error}", file=sys.stderr)
        return 1
    note = f"; set by the EgressFleet instead: {', '.join(replaced)}" if replaced else ""
    topic = config["cluster_id"] or "empty (placement.engine native)"
    print(f"egress-config: cluster_id {topic}{note}")
    return 0
