"""LiveKit's own block `redis`, read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.connections.credentials import no_password
from mediafleet_scheduler.egress.connections.livekit_block import read_block
from mediafleet_scheduler.egress.connections.opening import of_spec

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
        ("", "write address, sentinel_addresses or cluster_addresses"),
        ("- a", "key: value lines"),
        (f"password: {CANARY}", "write address, sentinel_addresses or cluster_addresses"),
        (f"adress: {CANARY}", "adress"),
        (f"address: h:1\ndb: {CANARY}", "db"),
        ("sentinel_addresses: [s1:26379]", "sentinel_master_name is missing"),
        ("address: h:1\ntls: {enabled: true, server_name: x}", "tls.server_name"),
        (f"password: [{CANARY}", "not YAML in line"),
        (f"address: rediss://{CANARY}@redis:6379", "address: write host:port alone"),
        ("address: rediss://redis.example.com:6379", "redis.example.com:6379, without rediss://"),
        ('cluster_addresses: ["2409::11d:18005"]', r"brackets: \[2409::11d\]:18005"),
        ("address: h:1\ndb: 5000", "db: write a number from 0 to 1024"),
        ("address: h:1\ndb: -1", "db: write a number from 0 to 1024"),
        (f"address: h:1\ndb: {CANARY}\nuse_tls: {CANARY}", "db: write a number.*; use_tls: write"),
        ("address: h:1\ntls: yes", "tls: write key: value lines"),
        (f"address: h:1\npassword: {{a: {CANARY}}}", "password: write a text"),
        ("redis:\nlog_level: debug", "write address"),
    ],
)
def test_what_makes_no_sense_is_told_without_secrets(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(CannotStartError, match=complaint) as told:
        read_block(written(tmp_path, text))
    assert CANARY not in str(told.value)


@pytest.mark.parametrize(
    ("text", "password", "address"),
    [
        ("address: r:1\npassword: 123456", "123456", "r:1"),
        ("address: r:1\npassword: 0123", "0123", "r:1"),
        ("address: r:1\npassword: no", "no", "r:1"),
        ("address: r:1\npassword: 2024-11-28", "2024-11-28", "r:1"),
        ("redis:\n  address: :7390", None, "localhost:7390"),
        ("redis:\n  address: r:1\n  password:\n  use_tls: no\ns3:\n  secret:", None, "r:1"),
    ],
)
def test_fields_are_read_as_livekits_programs_read_them(
    tmp_path: Path, text: str, password: str | None, address: str
) -> None:
    spec, access = read_block(written(tmp_path, text))
    assert (spec.address, access.password(), spec.tls) == (address, password, False)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"address: \xff", "not UTF-8"), (b"#" * (2 << 20), "more than")],
    ids=["other encoding", "too large"],
)
def test_a_file_that_is_no_config_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "redis.yaml"
    file.write_bytes(content)
    with pytest.raises(CannotStartError, match=why):
        read_block(file)


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/etc/hosts/x", "a\0b"])
def test_a_path_that_is_no_file_is_told(path: str) -> None:
    with pytest.raises(CannotStartError, match="--redis-config"):
        read_block(Path(path))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="--redis-config"):
        read_block(tmp_path / "none.yaml")
