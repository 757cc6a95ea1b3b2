"""What of a pod's words may be kept and logged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.egress.redaction import redacted


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("not enough CPU", "not enough CPU"),
        ("invalid url rtmp://live.example/app/KEY: no host", "invalid url rtmp://…"),
        ("invalid url rtmp:/h/KEY: no host", "invalid url …"),
        ("invalid url rtmp//h/KEY: no scheme", "invalid url …"),
        ("invalid url rtmp://h/a KEY: bad host", "invalid url rtmp://…"),
        ('invalid url rtmp://h:KEY: invalid port ":KEY"', "invalid url rtmp://…"),
        ('parse "RTMPS://u:p@h/KEY": bad port', 'parse "RTMPS://… bad port'),
        ("wss://a/KEY and srt://b?streamid=KEY", "wss://… and srt://…"),
        ("mux://KEY", "mux://…"),
        ("redirect to https%3A%2F%2Fh%2FKEY failed", "redirect to https://… failed"),
        ("room a: not found // really", "room a: not found // really"),
    ],
)
def test_of_a_url_only_the_scheme_is_kept(said: str, kept: str) -> None:
    assert redacted(said) == kept


@given(st.text(max_size=40), st.from_regex(r"[a-z]{2,6}://[!-~]{1,30}", fullmatch=True))
def test_no_url_survives_whatever_stands_around_it(around: str, url: str) -> None:
    assert url not in redacted(f"{around} {url} {around}")
