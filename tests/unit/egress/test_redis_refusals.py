"""What is said of a Redis that cannot be used: the key and the fix, and nothing of a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.egress.connections.credentials import Credentials, password_in
from mediafleet_scheduler.egress.connections.opening import of_url
from mediafleet_scheduler.egress.connections.refusals import why_not

BROKEN = [
    "redis://:TOP/SECRET@redis:6379",
    "redis://:123/SECRET@redis:6379",
    "redis://:TOP#SECRET@redis:6379",
    "redis://:TOP?SECRET@redis:6379",
    "redis://:TOP@SECRET@redis:6379",
    "redis://:TOP[SECRET@redis:6379",
    "redis://user:TOP:SECRET/@redis:6379/x",
    "redis://redis:6379/TOPSECRET",
    "redis://redis:6379/0?password=TOPSECRET&db=x",
    "redis://redis:6379/0?secret=TOPSECRET",
    "redis://TOPSECRET:x",
    "TOP://SECRET",
    "redis://:TOP\udcffSECRET@redis",
    "redis://:TOP\nSECRET@redis",
]


@pytest.mark.parametrize("url", BROKEN)
def test_of_a_url_that_cannot_be_used_nothing_is_repeated(url: str) -> None:
    with pytest.raises(CannotStartError) as told:
        of_url(url)
    assert "TOP" not in str(told.value)
    assert "SECRET" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_password_that_ends_the_host_early_is_to_be_percent_encoded() -> None:
    with pytest.raises(CannotStartError, match="percent-encode"):
        of_url("redis://:TOP/SECRET@redis:6379")


@pytest.mark.parametrize(
    "url", ["redis://:a%2Fb@h:1/3", "redis://h", "rediss://u:p@[::1]:7/0", "unix:///run/redis.sock"]
)
async def test_a_url_that_makes_sense_is_taken(url: str) -> None:
    await of_url(url).close()


def test_a_password_that_is_not_utf_8_is_told_without_it() -> None:
    with pytest.raises(CannotStartError, match="MEDIAFLEET_REDIS_PASSWORD is not UTF-8"):
        of_url("redis://h", "\udcff")


def test_a_password_file_may_be_wrong_for_a_while(tmp_path: Path) -> None:
    file = tmp_path / "password"
    credentials = Credentials(None, password_in(file))
    for wrong in (b"\xffSECRET", b"x" * 100_000):
        file.write_bytes(wrong)
        with pytest.raises(RedisConnectionError, match="cannot be read") as told:
            credentials.get_credentials()
        assert "SECRET" not in str(told.value)
    file.write_bytes(b"\xef\xbb\xbfright\n")
    assert credentials.get_credentials() == ("right",)


def test_a_password_is_not_sought_in_what_never_ends() -> None:
    with pytest.raises(RedisConnectionError, match="no regular file"):
        Credentials(None, password_in(Path("/dev/zero"))).get_credentials()


def test_what_may_pass_is_waited_for() -> None:
    assert why_not(RedisConnectionError("Error 111 connecting"), 0) is None
    assert why_not(TimeoutError(), 0) is None
