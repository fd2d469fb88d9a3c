"""The status feed of a real server on a real Redis: its restart, who reads too slowly, and hundreds who leave."""

import importlib.util
import json
import socket
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from pindet_serve.status.publisher import Publisher
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CLIENTS = 300
# A client is given up after a second, not after twenty, and has time to hear so.
IMPATIENT = """
from pindet_serve.status.feed import StatusFeed
StatusFeed.__init__.__defaults__ = (1.0, 30.0, 5000)
from pindet_serve.__main__ import main
main()
"""

STATUS = Path(__file__).parents[1] / "serve_status/conftest.py"
spec = importlib.util.spec_from_file_location("feed_serve_status", STATUS)
status = importlib.util.module_from_spec(spec)
spec.loader.exec_module(status)
redis_server = status.redis_server


@pytest.fixture
def server(start_server, project, redis_server):
    return start_server(project, REDIS_URL=redis_server.url, program=[sys.executable, "-c", IMPATIENT])


@pytest.fixture
def publish(redis_server, monkeypatch):
    monkeypatch.setattr("pindet_serve.status.publisher.RETRY_SECONDS", 0.0)
    with closing(Publisher(redis_server.url, "elsewhere")) as publisher:
        yield publisher.publish


def address(server):
    return server.url.replace("http", "ws") + "/ws/status"


def read_until(client, kind, seconds=30):
    """The events up to the first of a kind; heartbeats come every two seconds."""
    seen, until = [], time.monotonic() + seconds
    while not seen or seen[-1]["type"] != kind:
        assert time.monotonic() < until, [event["type"] for event in seen]
        seen.append(json.loads(client.recv(10)))
    return seen


def numbers(events):
    return [event["data"]["number"] for event in events if event["type"] == "job.note"]


def test_a_restart_of_redis_loses_and_repeats_nothing_on_an_open_socket(server, redis_server, publish):
    with connect(address(server)) as client:
        seen = read_until(client, "snapshot")
        assert seen[-1]["data"]["bus"]["state"] == "up"
        for number in range(5):
            publish("job.note", {"number": number})
        publish("job.end", {})
        seen += read_until(client, "job.end")
        redis_server.stop()
        seen += read_until(client, "service.redis_lost")
        for number in range(5, 8):
            publish("job.note", {"number": number})  # waits where it is said
        redis_server.start()
        seen += read_until(client, "service.redis_back")
        for number in range(8, 10):
            publish("job.note", {"number": number})
        publish("job.end", {})
        seen += read_until(client, "job.end")
    assert numbers(seen) == list(range(10))
    assert not [event for event in seen if event["type"] == "snapshot" and event["data"]["reset"]]
    with connect(f"{address(server)}?last_id={next(one['id'] for one in seen if one['type'] == 'job.note')}") as client:
        again = read_until(client, "job.end") + read_until(client, "job.end")
    assert not again[0]["data"]["reset"]
    assert numbers(again) == list(range(1, 10))


def test_who_reads_too_slowly_is_told_to_come_back_and_keeps_nobody_waiting(server, publish):
    with connect(address(server), max_queue=1) as slow, connect(address(server)) as quick:
        read_until(slow, "snapshot")
        seen = read_until(quick, "snapshot")
        began = time.monotonic()
        for number in range(400):
            publish("job.note", {"number": number, "text": "x" * 60_000})
            while not numbers(seen[-1:]):
                seen.append(json.loads(quick.recv(10)))
            assert numbers(seen) == [number]
            seen.clear()
            seen.append({"type": "read"})
        assert time.monotonic() - began < 60
        time.sleep(max(0.0, began + 5 - time.monotonic()))
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                slow.recv(20)
        publish("job.note", {"number": 400})
        assert numbers(read_until(quick, "job.note")) == [400]
    assert closed.value.rcvd.code == 1013
    assert closed.value.rcvd.reason.startswith("too slow")


def opened(server):
    """A socket to the feed, once its first event has come."""
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(30)
    client.sendall(
        b"GET /ws/status HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    while b'"snapshot"' not in client.recv(65536):
        pass
    return client


def test_hundreds_of_clients_that_leave_leave_no_socket_and_no_memory_behind(server, publish):
    process = psutil.Process(server.process.pid)
    with connect(address(server)) as witness:
        read_until(witness, "snapshot")
        time.sleep(0.5)
        before, sizes = process.num_fds(), []
        for turn in range(4):
            clients = [opened(server) for _ in range(CLIENTS)]
            assert process.num_fds() >= before + CLIENTS
            for number in range(20):
                publish("job.note", {"number": number, "text": "x" * 2000})
            publish("job.end", {})
            read_until(witness, "job.end")
            for client in clients[: CLIENTS // 2]:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # gone without a word
            for client in clients:
                client.close()
            until = time.monotonic() + 30
            while process.num_fds() > before:
                assert time.monotonic() < until, (turn, process.num_fds(), before)
                time.sleep(0.05)
            sizes.append(server.rss_mb())
    assert sizes[-1] - sizes[0] < 15, sizes
    assert not [line for line in server.lines() if line["level"] == "error"]
