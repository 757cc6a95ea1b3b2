"""LiveKit's own block `redis`, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.connections.livekit_block import read_block
from mediafleet_scheduler.egress.connections.opening import no_password, of_spec

CANARY = "canary-secret"


def written(folder: Path, text: str) -> Path:
    file = folder / "redis.yaml"
    file.write_text(text)
    return file


PLAIN = f"""
address: redis:6380
username: livekit
password: {CANARY}
db: 3
use_tls: true
dial_timeout: 500
pool_size: 20
pool_timeout: 5s
"""
SENTINEL = f"""
redis:
  address: ignored:6379
  sentinel_master_name: main
  sentinel_addresses: [s1:26379, s2:26379]
  sentinel_username: watcher
  sentinel_password: {CANARY}
  tls:
    enabled: true
    ca_cert_file: /tls/ca.pem
    client_cert_file: /tls/tls.crt
    client_key_file: /tls/tls.key
room: {{auto_create: true}}
"""
CLUSTER = "cluster_addresses: [c1:6379, c2:6379]\nmax_redirects: 4\n"


def test_an_address_with_its_user(tmp_path: Path) -> None:
    spec, access = read_block(written(tmp_path, PLAIN))
    assert (spec.address, spec.username, spec.db, spec.tls) == ("redis:6380", "livekit", 3, True)
    assert access.password() == CANARY
    assert CANARY not in repr((spec, access))


async def test_sentinels_win_over_an_address_and_are_spoken_to_alike(tmp_path: Path) -> None:
    spec, access = read_block(written(tmp_path, SENTINEL))
    assert spec.sentinel is not None
    assert (spec.address, spec.sentinel.master_name) == (None, "main")
    assert access.password is no_password
    assert str(access.tls.ca_file) == "/tls/ca.pem"
    connections = of_spec(spec, access)
    for client in connections.sentinels:
        settings: dict[str, Any] = client.connection_pool.connection_kwargs
        assert settings["credential_provider"].get_credentials() == ("watcher", CANARY)
        assert settings["ssl_certfile"] == "/tls/tls.crt"
    await connections.close()


def test_a_cluster(tmp_path: Path) -> None:
    spec, _ = read_block(written(tmp_path, CLUSTER))
    assert spec.cluster is not None
    assert spec.cluster.addresses == ["c1:6379", "c2:6379"]


def test_a_changed_password_is_taken_up(tmp_path: Path) -> None:
    file = written(tmp_path, PLAIN)
    _, access = read_block(file)
    file.write_text(PLAIN.replace(CANARY, "second"))
    assert access.password() == "second"
    file.write_text("not: [yaml")
    with pytest.raises(OSError, match="not YAML"):
        access.password()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no block"),
        ("- a", "no block"),
        (f"password: {CANARY}", "write address, sentinel_addresses or cluster_addresses"),
        (f"adress: {CANARY}", "adress"),
        (f"address: h:1\ndb: {CANARY}", "db"),
        ("sentinel_addresses: [s1:26379]", "sentinel_master_name is missing"),
        ("address: h:1\ntls: {enabled: true, server_name: x}", "tls.server_name"),
        (f"password: [{CANARY}", "not YAML in line"),
    ],
)
def test_what_makes_no_sense_is_told_without_secrets(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(CannotStartError, match=complaint) as told:
        read_block(written(tmp_path, text))
    assert CANARY not in str(told.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="--redis-config"):
        read_block(tmp_path / "none.yaml")
