"""What the command line of `mediafleet community` takes."""

from __future__ import annotations

import pytest
import typer

from mediafleet.community.collect import target
from mediafleet.community.options import PaidOptions, StoreOptions

ADDRESS = "0x" + "Ab" * 20


def test_a_target_may_have_the_address_of_its_orchestrator() -> None:
    assert target("a.example.com:8080") == ("http://a.example.com:8080", None)
    assert target(f"https://a.example.com={ADDRESS}") == ("https://a.example.com", b"\xab" * 20)


@pytest.mark.parametrize("text", ["a=0x12", "a=b", f"a={ADDRESS}0", f"a={ADDRESS[2:]}", "="])
def test_a_target_with_another_address_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="0x and 40"):
        target(text)


def test_tickets_need_to_know_who_is_paid() -> None:
    tickets = PaidOptions("tickets.json")
    with pytest.raises(typer.BadParameter, match="who is paid"):
        tickets.check(None, ["a"])
    tickets.check(None, [f"a={ADDRESS}"])
    tickets.check("list.json", [])


def test_a_store_is_a_url() -> None:
    with pytest.raises(typer.BadParameter):
        StoreOptions("127.0.0.1:8428").check()
    StoreOptions("http://127.0.0.1:8428").check()
