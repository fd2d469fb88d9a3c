import asyncio

import pytest
from pindet_serve.status.cursor import Cursor, SlowReaderError
from pindet_serve.status.event import encode_body
from pindet_serve.status.hub import Hub


def hub_with(*types, size=64):
    hub = Hub("a", size, (1, 0, 0))
    tell(hub, *types)
    return hub


def tell(hub, *types):
    for number, type in enumerate(types):
        hub.append((hub.head[0] + 1, 0, 0), encode_body(type, 0.0, "a", {"number": number}))


def rest(cursor):
    seen = []
    while entry := cursor.ready():
        seen.append((entry.event.type, entry.event.data.get("number")))
    return seen


def test_a_reader_far_behind_skips_what_is_superseded_and_nothing_else():
    hub = hub_with()
    cursor = Cursor(hub, coalesce_after=3)
    cursor.ready()

    tell(hub, "heartbeat", "model.loading", "heartbeat", "heartbeat", "model.loaded", "heartbeat")

    assert rest(cursor) == [("model.loading", 1), ("heartbeat", 3), ("model.loaded", 4), ("heartbeat", 5)]


def test_the_progress_of_one_job_does_not_supersede_that_of_another():
    hub = hub_with()
    cursor = Cursor(hub, coalesce_after=0)
    cursor.ready()
    for number, job in enumerate(["one", "two", "one"]):
        hub.append((hub.head[0] + 1, 0, 0), encode_body("job.running", 0.0, "a", {"id": job, "number": number}))

    assert rest(cursor) == [("job.running", 1), ("job.running", 2)]


@pytest.mark.parametrize(
    ("last_id", "reset"),
    [("1-0", False), ("1-5-3", False), ("3-0", False), ("3-0-7", False), ("0-9", True), ("3-1", True), ("4-0", True)],
)
def test_resuming_works_from_what_all_have_and_from_what_another_replica_told_after_it(last_id, reset):
    hub = hub_with("model.loading", "model.loaded")

    assert Cursor(hub, last_id).ready().event.data["reset"] is reset


def test_a_reader_that_keeps_up_skips_nothing():
    hub = hub_with()
    cursor = Cursor(hub, coalesce_after=3)
    cursor.ready()
    seen = []
    for _ in range(10):
        tell(hub, "heartbeat", "heartbeat")
        seen += rest(cursor)

    assert len(seen) == 20


def test_what_was_missed_is_told_whole_however_much_it_is():
    hub = hub_with(*["heartbeat"] * 50)

    seen = rest(Cursor(hub, "2-0", coalesce_after=3))

    assert [number for type, number in seen[1:]] == list(range(1, 50))


def test_a_reader_whose_events_are_gone_is_told_so():
    hub = hub_with(size=8)
    cursor = Cursor(hub)
    cursor.ready()
    tell(hub, *["model.loading"] * 9)

    with pytest.raises(SlowReaderError, match="1 events were dropped"):
        cursor.ready()


def test_readers_are_counted_while_they_read():
    hub = hub_with()
    with Cursor(hub), Cursor(hub):
        assert hub.readers == 2
    assert hub.readers == 0


def test_a_cancelled_reader_leaves_the_others_waiting():
    async def main():
        hub = hub_with()
        readers = [asyncio.create_task(Cursor(hub, "1-0").next()) for _ in range(2)]
        await asyncio.gather(*readers)
        cursors = [Cursor(hub) for _ in range(2)]
        for cursor in cursors:
            cursor.ready()
        first, second = (asyncio.create_task(cursor.next()) for cursor in cursors)
        await asyncio.sleep(0)
        first.cancel()
        tell(hub, "model.loaded")

        assert (await second).event.type == "model.loaded"

    asyncio.run(main())


def test_those_who_begin_at_the_head_share_one_snapshot():
    hub = hub_with("model.loaded")

    assert Cursor(hub).ready() is Cursor(hub).ready()
    assert Cursor(hub).ready() is Cursor(hub, "2-0").ready()
    assert Cursor(hub).ready() is not Cursor(hub, "1-0").ready()
