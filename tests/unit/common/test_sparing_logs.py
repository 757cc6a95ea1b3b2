"""However many lines somebody has written, the log stays readable and the node has its disk."""

from __future__ import annotations

import logging

from mediafleet_common.serving.logs import LINES_A_SECOND, Sparing, on_behalf_of


class Log:
    """What gets through, at a time that is set."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sparing = Sparing()

    def lines(self, count: int, text: str = "refused %s", argument: str = "x") -> list[str]:
        records = [
            logging.LogRecord("a", logging.WARNING, "", 1, text, (argument,), None)
            for _ in range(count)
        ]
        for each in records:
            each.created = self.now
        return [each.getMessage() for each in records if self.sparing.filter(each)]


def test_of_a_flood_of_one_kind_so_many_lines_are_written_each_second() -> None:
    log = Log()
    assert len(log.lines(LINES_A_SECOND * 10)) == LINES_A_SECOND
    log.now += 0.9
    assert log.lines(1) == []


def test_the_next_line_says_how_many_were_left_out() -> None:
    log = Log()
    log.lines(LINES_A_SECOND + 7)
    log.now += 1
    assert log.lines(2, argument="100%") == [
        "refused 100% (7 lines like this were left out)",
        "refused 100%",
    ]


def test_a_clock_that_jumps_back_silences_nothing_for_long() -> None:
    log = Log()
    log.lines(LINES_A_SECOND + 1)
    log.now -= 3600
    assert len(log.lines(1)) == 1


def test_lines_of_another_kind_or_for_another_tenant_are_written_all_the_same() -> None:
    log = Log()
    log.lines(LINES_A_SECOND + 1)
    assert log.lines(1, text="lost %s") == ["lost x"]
    named = on_behalf_of.set("another")
    assert log.lines(1) == ["refused x"]
    on_behalf_of.reset(named)
    assert log.lines(1) == []


def test_kinds_without_end_cost_no_memory_without_end() -> None:
    log = Log()
    for number in range(5000):
        log.lines(1, text=f"{number} %s")
    assert len(log.sparing._seen) <= 1001
