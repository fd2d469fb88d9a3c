import asyncio
import threading

import pytest
from pindet_serve.status.bus import MOST_EARLY
from pindet_serve.status.memory_bus import MemoryBus


async def started(**settings):
    bus = MemoryBus("replica-a", **settings)
    await bus.start()
    return bus


def test_a_new_client_gets_the_state_and_then_what_happens(read):
    async def main():
        bus = await started()
        await bus.publish("heartbeat", {"queue": 1})
        await bus.publish("heartbeat", {"queue": 2})
        await bus.publish("model.loaded", {"version": "v1"})
        async with bus.subscribe() as events:
            (snapshot,) = await read(events, count=1)
            await bus.publish("training.progress", {"epoch": 3})
            (live,) = await read(events, count=1)
        await bus.stop()

        assert (snapshot.type, snapshot.data["reset"]) == ("snapshot", False)
        assert [replica["data"] for replica in snapshot.data["replicas"]] == [{"queue": 2}]
        assert [state["type"] for state in snapshot.data["states"]] == ["model.loaded"]
        assert snapshot.data["bus"] == {"backend": "memory", "state": "up", "dropped": 0}
        assert (live.type, live.source, live.data) == ("training.progress", "replica-a", {"epoch": 3})

    asyncio.run(main())


def test_whoever_resumes_gets_each_event_once(read):
    async def main():
        bus = await started()
        for number in range(10):
            await bus.publish("job.progress", {"number": number})
        async with bus.subscribe() as events:
            await read(events, count=1)
            for number in range(10, 20):
                await bus.publish("job.progress", {"number": number})
            last = (await read(events, count=5))[-1]
        async with bus.subscribe(last.id) as events:
            snapshot, *missed = await read(events, count=6)
            await bus.publish("job.progress", {"number": 20})
            missed += await read(events, count=1)
        await bus.stop()

        assert (snapshot.id, snapshot.data["reset"]) == (last.id, False)
        assert [event.data["number"] for event in missed] == list(range(15, 21))

    asyncio.run(main())


@pytest.mark.parametrize("last_id", ["1-0", "99999999999999-0", "nonsense", "0-0"])
def test_whoever_resumes_from_what_is_not_held_is_told_so(read, last_id):
    async def main():
        bus = await started(max_events=4)
        for number in range(10):
            await bus.publish("job.progress", {"number": number})
        async with bus.subscribe(last_id) as events:
            (snapshot,) = await read(events, count=1)
            await bus.publish("job.progress", {"number": 10})
            (live,) = await read(events, count=1)
        await bus.stop()

        assert snapshot.data["reset"] is True
        assert live.data == {"number": 10}

    asyncio.run(main())


def test_resuming_works_up_to_the_oldest_event_held_and_not_further(read):
    async def main():
        bus = await started(max_events=4)
        ids = []
        for number in range(10):
            await bus.publish("job.progress", {"number": number})
            async with bus.subscribe() as events:
                ids.append((await read(events, count=1))[0].id)
        seen = []
        for last_id in ids:
            async with bus.subscribe(last_id) as events:
                seen.append((await read(events, count=1))[0].data["reset"])
        await bus.stop()

        # 6 to 9 are held; who has read 5 misses nothing, who has read 4 misses 5.
        assert seen == [True] * 5 + [False] * 5

    asyncio.run(main())


def test_a_subscriber_that_falls_behind_starts_again_from_a_flagged_snapshot(read):
    async def main():
        bus = await started(max_events=8)
        async with bus.subscribe() as events:
            await read(events, count=1)
            for number in range(20):
                await bus.publish("model.loading", {"number": number})
            (snapshot,) = await read(events, count=1)
        await bus.stop()

        assert (snapshot.type, snapshot.data["reset"]) == ("snapshot", True)
        assert snapshot.data["states"][0]["data"] == {"number": 19}

    asyncio.run(main())


def test_publish_soon_works_from_any_thread_and_never_raises(read, until):
    async def main():
        bus = MemoryBus("a")
        await bus.start()
        async with bus.subscribe() as events:
            await read(events, count=1)
            threads = [threading.Thread(target=bus.publish_soon, args=("detection", {"n": n})) for n in range(8)]
            for thread in threads:
                thread.start()
            seen = await read(events, count=8)
        bus.publish_soon("nonsense", {})
        await until(lambda: bus.dropped == 1)
        await bus.stop()
        bus.publish_soon("heartbeat", {})

        assert sorted(event.data["n"] for event in seen) == list(range(8))
        assert bus.dropped == 2

    asyncio.run(main())


def test_what_is_said_before_the_start_is_told_at_the_start_and_no_more_than_some(read):
    async def main():
        bus = MemoryBus("a")
        for number in range(MOST_EARLY + 5):
            bus.publish_soon("model.loaded", {"id": number})
        assert bus.dropped == 5
        await bus.start()
        async with bus.subscribe() as events:
            (snapshot,) = await read(events, count=1)
        await bus.stop()
        assert [state["data"]["id"] for state in snapshot.data["states"]] == list(range(MOST_EARLY))

    asyncio.run(main())


def test_everyone_gets_pings_and_can_resume_from_one(read):
    async def main():
        bus = await started(ping_seconds=0.02)
        async with bus.subscribe() as events:
            ping = (await read(events, until="ping"))[-1]
        await bus.publish("model.loaded", {})
        async with bus.subscribe(ping.id) as events:
            seen = await read(events, until="model.loaded")
        await bus.stop()

        assert not seen[0].data["reset"]

    asyncio.run(main())


def test_a_key_is_claimed_once_within_its_time():
    async def main():
        bus = await started()
        assert await bus.claim("ticket", 0.05)
        assert not await bus.claim("ticket", 0.05)
        await asyncio.sleep(0.06)
        assert await bus.claim("ticket", 0.05)
        await bus.stop()

    asyncio.run(main())


def test_stopping_leaves_no_task():
    async def main():
        bus = await started()
        await bus.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_bus_without_room_is_refused():
    with pytest.raises(ValueError, match="max_events is 0; it must be at least 1"):
        MemoryBus("a", max_events=0)
