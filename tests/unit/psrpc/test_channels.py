"""Channel names are those of psrpc, character for character."""

from __future__ import annotations

import pytest

from mediafleet_scheduler.psrpc import channels


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (channels.answers("foo", "bar"), "foo|bar|RES"),
        (channels.bids("foo", "bar"), "foo|bar|CLAIM"),
        (channels.request("foo", "bar"), "foo|bar|REQ"),
        (channels.grant("foo", "bar"), "foo|bar|RCLAIM"),
        (channels.request("foo", "bar", ("a", "b", "c")), "foo|bar|a|b|c|REQ"),
        (channels.grant("foo", "bar", ("a", "b", "c")), "foo|bar|a|b|c|RCLAIM"),
        # What livekit-server and a pod really use.
        (channels.request("EgressInternal", "StartEgress"), "EgressInternal|StartEgress|REQ"),
        (
            channels.request("EgressInternal", "StartEgress", ("",)),
            "EgressInternal|StartEgress|REQ",
        ),
        (
            channels.request("EgressInternal", "StartEgress", ("pod-0",)),
            "EgressInternal|StartEgress|podu+002d0|REQ",
        ),
        (
            channels.request("S", "M", ("media.rec-0.1a2b3c4d",)),
            "S|M|mediau+002erecu+002d0u+002e1a2b3c4d|REQ",
        ),
        (
            channels.request("🚀_É", "🛰_bar", ("软件",)),
            "U+0001f680_u+00c9|U+0001f6f0_bar|u+8f6fu+4ef6|REQ",
        ),
        (channels.request("a|b", "c d"), "au+007cb|cu+0020d|REQ"),
        # An empty part at the start or in the middle leaves no second bar.
        (channels.request("S", "M", ("", "x")), "S|M|x|REQ"),
        (channels.request("S", "M", ("x", "", "y")), "S|M|x|y|REQ"),
    ],
)
def test_names_are_those_of_psrpc(name: str, wanted: str) -> None:
    assert name == wanted
