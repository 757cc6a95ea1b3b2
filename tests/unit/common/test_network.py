"""What the kernel and the door count of a pod's network."""

from __future__ import annotations

from mediafleet_common.agent.drain_proxy import transferred
from mediafleet_common.agent.network import Transferred, parse

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo: 9999 1 0 0 0 0 0 0 9999 1 0 0 0 0 0 0
  eth0: 1000 5 0 0 0 0 0 0 70 6 0 0 0 0 0 0
  net1:200 5 0 0 0 0 0 0 7 6 0 0 0 0 0 0
"""


def test_all_interfaces_but_loopback_count() -> None:
    assert parse(DEV) == Transferred(1200, 77)


def test_a_table_without_an_interface_says_nothing() -> None:
    assert parse("") is None
    assert parse("\n".join(DEV.splitlines()[:3])) is None
    assert parse("eth0: 1 2 3") is None


def test_a_door_counts_what_gateways_send_and_get() -> None:
    stat = """\
# pxname,svname,scur,bin,bout,
work,node,3,1,1,
node,FRONTEND,9,1000,70,
"""
    assert transferred(stat) == Transferred(1000, 70)
    assert transferred(stat.replace("1000", "")) is None
    assert transferred("Unknown command") is None
