"""One task for each key."""

from __future__ import annotations

import asyncio

from mediafleet_common.keyed_tasks import KeyedTasks


class Work:
    """Work that notes when it begins and ends, and never ends by itself."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []

    async def forever(self, key: str) -> None:
        self.began.append(key)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended.append(key)


async def _running(keys: tuple[str, ...]) -> tuple[KeyedTasks[str], Work]:
    tasks, work = KeyedTasks[str](), Work()
    for key in keys:
        tasks.start(key, work.forever(key), f"work {key}")
    await asyncio.sleep(0)
    assert work.began == list(keys)
    return tasks, work


async def test_only_the_tasks_of_keys_that_went_are_cancelled() -> None:
    tasks, work = await _running(("a", "b", "c"))
    kept, others = tasks["b"], [tasks["a"], tasks["c"]]
    assert tasks.keep_only({"b", "d"}) == ["a", "c"]
    await asyncio.wait(others, timeout=5)
    assert work.ended == ["a", "c"]
    assert dict(tasks) == {"b": kept}
    assert not kept.done()
    await tasks.close()


async def test_what_is_missing_is_what_has_no_task() -> None:
    tasks, _ = await _running(("a", "b"))
    assert {"b", "c"} - tasks.keys() == {"c"}
    await tasks.close()


async def test_a_task_has_the_name_that_it_was_given() -> None:
    tasks, _ = await _running(("a",))
    assert tasks["a"].get_name() == "work a"
    await tasks.close()


async def test_close_waits_for_the_end_of_all_tasks() -> None:
    tasks, work = await _running(("a", "b"))
    await tasks.close()
    assert sorted(work.ended) == ["a", "b"]
    assert not tasks


async def test_close_waits_for_a_task_that_was_cancelled_just_before() -> None:
    tasks, work = await _running(("a",))
    tasks.keep_only(())
    await tasks.close()
    assert work.ended == ["a"]


async def test_close_does_not_raise_what_a_task_raised() -> None:
    async def fails() -> None:
        raise ValueError

    tasks = KeyedTasks[str]()
    failed = tasks.start("a", fails())
    await asyncio.wait([failed], timeout=5)
    assert tasks["a"] is failed, "its key still has a place, so nobody starts it again unasked"
    await tasks.close()


async def test_a_key_whose_task_ended_can_be_started_again() -> None:
    async def ends() -> None:
        pass

    tasks, work = KeyedTasks[str](), Work()
    await tasks.start("a", ends())
    again = tasks.start("a", work.forever("a"))
    assert dict(tasks) == {"a": again}
    await tasks.close()
