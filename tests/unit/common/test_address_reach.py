"""Which addresses may be dialled, by who names them, whatever form they are written in."""

from __future__ import annotations

import pytest

from mediafleet_common.formats.reach import OWN_WORD, PODS, PUBLIC, Reach, networks

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.43518",
)
LINK_LOCAL = ("169.254.1.1", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "255.255.255.255")
LOOPBACK = (
    "127.0.0.1",
    "127.1",
    "0x7f000001",
    "0177.0.0.1",
    "::1",
    "0.0.0.0",
    "0",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "::2",
    "64:ff9b::7f00:1",
)
PRIVATE = (
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "fd00::1",
    "fec0::1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2002:808:808::1",  # 6to4, be its end public
    "2001:0:a00:1:0:0:f7f7:f7f7",  # Teredo by a server at 10.0.0.1
    "2001:0:808:808:0:0:f5ff:fffe",  # Teredo to 10.0.0.1
    "fd00::5efe:a00:1",  # ISATAP
    "2a00::5efe:a00:1",
)
OPEN = ("8.8.8.8", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "134744072")
CLUSTER = Reach(networks=networks(["10.0.0.0/8", "fd00::/8"]), services_of="media")


def refused(reach: Reach, addresses: tuple[str, ...], name: str = "") -> set[str]:
    return {each for each in addresses if reach.refusal(each, name)}


@pytest.mark.parametrize("reach", [PUBLIC, PODS, OWN_WORD, CLUSTER])
def test_metadata_services_and_link_local_addresses_are_refused_to_everybody(reach: Reach) -> None:
    everywhere = Reach(True, True, networks(["0.0.0.0/0", "::/0"]), "media")
    for each in (reach, everywhere):
        assert refused(each, METADATA + LINK_LOCAL, "a.media.svc") == {*METADATA, *LINK_LOCAL}


def test_a_stranger_names_public_addresses_alone() -> None:
    assert refused(PUBLIC, OPEN) == set()
    assert refused(PUBLIC, LOOPBACK + PRIVATE) == {*LOOPBACK, *PRIVATE}
    assert PUBLIC.refusal("no-address") is not None
    assert PUBLIC.refusal("") is not None


def test_pods_are_private_and_never_this_machine_and_the_users_own_word_may_be() -> None:
    assert refused(PODS, OPEN + PRIVATE) == set()
    assert refused(PODS, LOOPBACK) == set(LOOPBACK)
    assert refused(OWN_WORD, OPEN + PRIVATE + LOOPBACK) == set()


def test_the_administrator_allows_networks_and_no_more() -> None:
    reach = Reach(networks=networks(["10.0.0.0/8", "127.0.0.0/8", "::/0"]))
    assert reach.refusal("10.0.0.1") is None
    assert reach.refusal("fd00::1") is None
    assert reach.refusal("192.168.1.1") is not None
    assert refused(reach, LOOPBACK) == set(LOOPBACK)
    for wrong in ("10.0.0.1/8", "any", "", "10.0.0.0/33"):
        with pytest.raises(ValueError, match="is no network such as"):
            networks([wrong])


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("head.media.svc", True),
        ("head.media.svc.cluster.local", True),
        ("HEAD.media.svc.cluster.local.", True),
        ("pod-0.head.media.svc", True),
        ("head.other.svc", False),
        ("head.other.svc.cluster.local", False),
        ("head.media.svc.example.com", False),
        ("media.svc", False),
        ("headmedia.svc", False),
        ("head", False),
        ("", False),
    ],
)
def test_services_of_the_same_namespace_may_be_private_and_no_others(name: str, may: bool) -> None:
    reach = Reach(services_of="media")
    assert (reach.refusal("10.96.0.7", name) is None) is may
    assert reach.refusal("127.0.0.1", name) is not None
