"""A training tells the bus of the server how far it is, and an absent Redis never holds it up."""

import asyncio
import math
import time

import pytest
from pindet_serve.status import publisher as module
from pindet_serve.status.publisher import Publisher, open_publisher
from pindet_serve.status.redis_bus import RedisBus, Timing

QUICK = Timing(answer=2, silence=0.1, first_retry=0.02, longest_retry=0.1)


async def followed(url, work, types):
    """Follow a server's bus while ``work`` runs in a thread; the data of the first events of some types."""
    bus = RedisBus(url, "replica", timing=QUICK)
    await bus.start()
    seen = []
    async with asyncio.timeout(20):
        while bus.state == "down":
            await asyncio.sleep(0.01)
        async with bus.subscribe() as events:
            await anext(events)
            await asyncio.to_thread(work)
            async for event in events:
                seen.append(event)
                if [one.type for one in seen] == types:
                    break
    await bus.stop()
    return seen


def test_who_follows_a_server_hears_of_the_training(redis_server):
    publisher = open_publisher({"REDIS_URL": redis_server.url}, "training-1")

    def train():
        assert publisher.publish("training.started", {"run": "r1", "epochs": 2})
        assert publisher.publish("training.progress", {"run": "r1", "epoch": 1, "metrics": {"train/loss": math.nan}})
        assert publisher.publish("training.finished", {"run": "r1"})

    seen = asyncio.run(
        followed(redis_server.url, train, ["training.started", "training.progress", "training.finished"])
    )
    publisher.close()
    assert {event.source for event in seen} == {"training-1"}
    assert seen[1].data == {"run": "r1", "epoch": 1, "metrics": {"train/loss": None}}
    assert publisher.dropped == 0


def test_what_is_said_while_redis_is_away_is_told_when_it_is_back_in_order_and_once(redis_server, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.2)
    publisher = Publisher(redis_server.url, "training-1")
    redis_server.stop()
    assert not publisher.publish("training.started", {"run": "r1"})
    assert not publisher.publish("training.progress", {"run": "r1", "epoch": 1})
    redis_server.start()

    def later():
        time.sleep(0.3)
        assert publisher.publish("training.progress", {"run": "r1", "epoch": 2})

    types = ["training.started", "training.progress", "training.progress"]
    seen = asyncio.run(followed(redis_server.url, later, types))
    publisher.close()
    assert [event.data.get("epoch") for event in seen] == [None, 1, 2]
    assert publisher.dropped == 0


def test_a_frozen_redis_costs_one_try_and_no_more(redis_server, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.2)
    publisher = Publisher(redis_server.url, "training-1")
    tries = []
    send = publisher._send
    monkeypatch.setattr(publisher, "_send", lambda: tries.append(1) or send())
    redis_server.freeze()
    for epoch in range(50):
        assert not publisher.publish("training.progress", {"run": "r1", "epoch": epoch})
    assert len(tries) == 1
    publisher.close()
    assert publisher.dropped == 50


def test_what_is_no_event_is_dropped_and_counted(redis_server):
    publisher = Publisher(redis_server.url, "training-1")
    assert not publisher.publish("nonsense", {})
    assert not publisher.publish("training.progress", {"run": object()})
    assert publisher.dropped == 2
    publisher.close()


def test_without_a_bus_nothing_is_said_and_nothing_is_lost():
    publisher = open_publisher({})
    assert not publisher.publish("training.started", {"run": "r1"})
    publisher.close()
    assert publisher.dropped == 0
    with pytest.raises(ValueError, match="redis://"):
        open_publisher({"REDIS_URL": "mysql://x"})
