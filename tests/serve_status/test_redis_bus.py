import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from pindet_serve.status.memory_bus import MemoryBus
from pindet_serve.status.opening import open_bus
from pindet_serve.status.redis_bus import RedisBus, Timing

QUICK = Timing(answer=0.5, silence=0.1, first_retry=0.02, longest_retry=0.1)

PATIENT = Timing(answer=5, silence=0.1, first_retry=0.02, longest_retry=0.1)


@asynccontextmanager
async def buses(server, *sources, url=None, timing=QUICK, **settings):
    """Started buses, one a source, that are up."""
    opened = [RedisBus(url or server.url, source, timing=timing, **settings) for source in sources]
    try:
        for bus in opened:
            await bus.start()
        async with asyncio.timeout(5):
            while any(bus.state == "down" for bus in opened):
                await asyncio.sleep(0.01)
        yield opened
    finally:
        for bus in opened:
            await bus.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().endswith(tuple(sources))]


def numbers(events, type="job.progress"):
    return [event.data["number"] for event in events if event.type == type]


def test_one_subscriber_sees_all_replicas_in_the_same_order_as_another(redis_server, read):
    async def main():
        async with buses(redis_server, "a", "b", "c") as (a, b, c), a.subscribe() as ours, c.subscribe() as theirs:
            await read(ours, count=1)
            await read(theirs, count=1)
            for number in range(30):
                await (a, b, c)[number % 3].publish("job.progress", {"number": number})
            seen, other = await read(ours, count=30), await read(theirs, count=30)

            assert seen == other
            assert sorted(numbers(seen)) == list(range(30))
            assert {event.source for event in seen} == {"a", "b", "c"}

    asyncio.run(main())


def test_a_replica_that_starts_later_knows_the_state_and_lets_clients_of_another_resume(redis_server, read):
    async def main():
        async with buses(redis_server, "a") as (a,), a.subscribe() as events:
            await a.publish("model.loaded", {"version": "v1"})
            for number in range(10):
                await a.publish("job.progress", {"number": number})
            last = (await read(events, count=6))[-1]
            await read(events, count=6)
            async with buses(redis_server, "b") as (b,), b.subscribe(last.id) as resumed, b.subscribe() as fresh:
                snapshot, *missed = await read(resumed, count=1 + 9 - last.data["number"])
                (other,) = await read(fresh, count=1)

            assert not snapshot.data["reset"]
            assert numbers(missed) == list(range(last.data["number"] + 1, 10))
            assert [state["type"] for state in other.data["states"]] == ["model.loaded", "job.progress"]

    asyncio.run(main())


def test_resuming_from_what_redis_has_trimmed_is_flagged(redis_server, read):
    async def main():
        async with buses(redis_server, "a", max_events=100) as (a,), a.subscribe() as events:
            await a.publish("job.progress", {"number": 0})
            first = (await read(events, count=2))[-1]
            for number in range(1, 500):
                await a.publish("job.progress", {"number": number})
            async with asyncio.timeout(5):
                while a.hub.end < 500:
                    await asyncio.sleep(0.01)
            async with buses(redis_server, "b", max_events=100) as (b,):
                for bus in (a, b):
                    async with bus.subscribe(first.id) as resumed:
                        (snapshot,) = await read(resumed, count=1)
                        assert snapshot.data["reset"] is True
                        assert snapshot.id == a.hub.entry(a.hub.end - 1).event.id

    asyncio.run(main())


def test_a_restart_of_redis_loses_and_repeats_nothing(redis_server, read, until):
    async def main():
        async with buses(redis_server, "a", "b") as (a, b), a.subscribe() as ours, b.subscribe() as theirs:
            await a.publish("job.progress", {"number": 0})
            assert numbers(await read(theirs, count=2)) == [0]
            await read(ours, count=2)
            redis_server.stop()
            await until(lambda: a.state == b.state == "down")
            await a.publish("job.progress", {"number": 1})
            await a.publish("release.wanted", {"id": "late"})
            await a.publish("heartbeat", {"queue": 0})
            at_once = await read(ours, until="heartbeat")
            redis_server.start()
            await until(lambda: a.state == b.state == "up" and not len(a._outbox) and not len(b._outbox))
            await a.publish("job.progress", {"number": 2})
            await a.publish("model.loaded", {})
            after = await read(ours, until="model.loaded")
            other = await read(theirs, until="model.loaded")

            assert numbers(at_once) == [1]  # its own clients need not wait for Redis
            assert at_once[0].type == "service.redis_lost"
            assert numbers(after) == [2]
            assert numbers(other) == [1, 2]
            assert not [event for event in other if event.type in ("heartbeat", "release.wanted")]  # stale by then
            assert not [event for event in after + other if event.type == "snapshot"]
            assert {event.source for event in other if event.type == "service.redis_back"} == {"a", "b"}
            assert a.dropped == b.dropped == 0

    asyncio.run(main())


def numbers_of(events, type):
    return [event for event in events if event.type == type]


def test_a_client_may_move_to_another_replica_during_an_outage(redis_server, read, until):
    async def main():
        async with buses(redis_server, "a", "b") as (a, b), a.subscribe() as ours:
            await b.publish("job.progress", {"number": 0})
            await read(ours, count=2)
            await until(lambda: b.hub.end == 1)
            redis_server.stop()
            await until(lambda: a.state == b.state == "down")
            await a.publish("training.started", {})
            local = (await read(ours, until="training.started"))[-1]
            redis_server.start()
            await until(lambda: a.state == b.state == "up")
            await b.publish("job.progress", {"number": 1})
            async with b.subscribe(local.id) as moved:
                snapshot, *events = await read(moved, until="job.progress")

            assert not snapshot.data["reset"]
            assert numbers(events) == [1]

    asyncio.run(main())


def test_redis_that_comes_back_empty_is_flagged_to_those_who_read(redis_server, read):
    async def main():
        async with buses(redis_server, "a") as (a,), a.subscribe() as ours:
            await a.publish("job.progress", {"number": 0})
            await read(ours, count=2)
            redis_server.stop()
            redis_server.lose_data()
            redis_server.start()
            snapshot = (await read(ours, until="snapshot"))[-1]
            await a.publish("job.progress", {"number": 1})
            after = await read(ours, until="job.progress")

            assert snapshot.data["reset"] is True
            assert numbers(after) == [1]

    asyncio.run(main())


def test_a_frozen_redis_is_noticed_and_what_it_carries_out_late_is_told_once(redis_server, read, until):
    async def main():
        async with buses(redis_server, "a", "b") as (a, b), a.subscribe() as ours, b.subscribe() as theirs:
            await read(ours, count=1)
            await read(theirs, count=1)
            redis_server.freeze()
            # The server's socket takes it, so it will carry this out once it thaws.
            await a.publish("job.progress", {"number": 0})
            await until(lambda: a.state == b.state == "down")
            await a.publish("job.progress", {"number": 1})
            redis_server.thaw()
            await until(lambda: a.state == b.state == "up")
            await a.publish("model.loaded", {})

            assert numbers(await read(ours, until="model.loaded")) == [0, 1]
            assert numbers(await read(theirs, until="model.loaded")) == [0, 1]

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(("leave", "return_"), [("stop", "start"), ("freeze", "thaw")])
def test_half_a_minute_without_redis_as_it_is_set_up_loses_and_repeats_nothing(
    redis_server, read, until, leave, return_
):
    async def main():
        async with buses(redis_server, "a", "b", timing=Timing()) as (a, b), b.subscribe() as theirs:
            await read(theirs, count=1)
            getattr(redis_server, leave)()
            for number in range(30):
                await a.publish("job.progress", {"number": number})
                await asyncio.sleep(1)
            assert a.state == b.state == "down"
            getattr(redis_server, return_)()
            await until(lambda: a.state == b.state == "up" and not len(a._outbox))
            await a.publish("model.loaded", {})
            assert numbers(await read(theirs, until="model.loaded")) == list(range(30))
            assert a.dropped == b.dropped == 0

    asyncio.run(main())


def test_a_silent_connection_is_asked_and_kept(redis_server):
    async def main():
        async with buses(redis_server, "a") as (a,):
            await asyncio.sleep(0.8)  # several silences
            assert a.state == "up"
            assert [a.hub.entry(i).event.type for i in range(a.hub.start, a.hub.end)] == []

    asyncio.run(main())


def test_a_wrong_password_leaves_the_bus_down_and_is_named_once(locked_redis_server, read, caplog):
    async def main():
        bus = RedisBus(locked_redis_server.url, "a", password="wrong-one", timing=QUICK)
        await bus.start()
        async with bus.subscribe() as events:
            lost = (await read(events, until="service.redis_lost"))[-1]
            await bus.publish("model.loaded", {})
            await read(events, until="model.loaded")
        await asyncio.sleep(0.3)
        assert bus.state == "down"
        assert bus.describe()["state"] == "down"
        await bus.stop()
        assert "Authentication" in lost.data["reason"]
        assert "wrong-one" not in lost.data["reason"] + caplog.text

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert len(caplog.records) == 1


def test_the_right_password_opens(locked_redis_server):
    async def main():
        async with buses(locked_redis_server, "a", password="right"):
            pass

    asyncio.run(main())


def test_a_redis_that_cannot_be_written_counts_as_down(redis_server, read, until):
    async def main():
        async with buses(redis_server, "a") as (a,), a.subscribe() as ours:
            await a._redis.config_set("maxmemory", "1")
            await a.publish("job.progress", {"number": 0})
            await until(lambda: a.state == "down")
            await asyncio.sleep(0.3)
            assert a.state == "down"
            await a._redis.config_set("maxmemory", "0")
            await until(lambda: a.state == "up")
            await a.publish("model.loaded", {})
            seen = await read(ours, until="model.loaded")

            assert numbers(seen) == [0]
            assert len(numbers_of(seen, "service.redis_lost")) == 1

    asyncio.run(main())


def test_starting_without_redis_works_and_it_may_come_later(redis_server, read, until):
    async def main():
        redis_server.stop()
        bus = RedisBus(redis_server.url, "a", timing=QUICK)
        await bus.start()
        await bus.publish("model.loaded", {})
        async with bus.subscribe() as events:
            await read(events, until="service.redis_lost")
            redis_server.start()
            await until(lambda: bus.state == "up")
            async with buses(redis_server, "b") as (b,):
                await until(lambda: b.hub.end >= 2)
                types = [b.hub.entry(i).event.type for i in range(b.hub.end)]
        await bus.stop()
        assert types[:2] == ["model.loaded", "service.redis_back"]

    asyncio.run(main())


def test_who_reads_before_redis_comes_is_not_told_the_past_as_news(redis_server, read, until):
    async def main():
        async with buses(redis_server, "a") as (a,):
            await a.publish("job.progress", {"number": 0})
            await until(lambda: a.hub.end == 1)
        redis_server.stop()
        bus = RedisBus(redis_server.url, "b", timing=QUICK)
        await bus.start()
        async with bus.subscribe() as events:
            await read(events, until="service.redis_lost")
            redis_server.start()
            assert numbers(await read(events, until="service.redis_back")) == []
        async with bus.subscribe(bus.hub.entry(bus.hub.end - 2).event.id) as events:
            assert not (await read(events, count=1))[0].data["reset"]
        await bus.stop()

    asyncio.run(main())


def test_an_outage_longer_than_the_outbox_drops_the_oldest_and_counts_them(redis_server, until):
    async def main():
        async with buses(redis_server, "a", timing=PATIENT) as (a,):
            redis_server.stop()
            await until(lambda: a.state == "down")
            for number in range(1200):
                await a.publish("job.progress", {"number": number})
            redis_server.start()
            await until(lambda: a.state == "up")
            async with buses(redis_server, "b") as (b,):
                await until(lambda: b.hub.end >= 1000)
                told = [b.hub.entry(i).event for i in range(b.hub.end)]

            # The announcement that Redis is back took the place of one more.
            assert numbers(told) == list(range(201, 1200))
            assert a.dropped == 201

    asyncio.run(main())


def test_a_ticket_is_claimed_once_among_all_replicas_and_per_replica_while_redis_is_away(redis_server, until):
    async def main():
        async with buses(redis_server, "a", "b") as (a, b):
            assert await a.claim("one", 30)
            assert not await b.claim("one", 30)
            assert not await a.claim("one", 30)
            redis_server.stop()
            await until(lambda: a.state == "down")
            assert await a.claim("two", 30)
            assert not await a.claim("two", 30)

    asyncio.run(main())


def test_the_backend_follows_the_url(redis_server):
    assert isinstance(open_bus(None, "a"), MemoryBus)
    assert isinstance(open_bus(redis_server.url, "a"), RedisBus)
    with pytest.raises(ValueError, match="scheme"):
        open_bus("postgresql://x", "a")
