import json
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from pindet_serve.status import admission
from pindet_serve.status.admission import Admission
from pindet_serve.status.feed import StatusFeed
from pindet_serve.status.memory_bus import MemoryBus
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


class Auth:
    """Admits everyone the same way."""

    def __init__(self, admitted=Admission()):  # noqa: B008 - frozen
        self.admitted = admitted

    async def admit(self, _):
        return self.admitted


def receive(client, count=1):
    return [json.loads(client.recv(timeout=5)) for _ in range(count)]


def wait(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.01)


def test_a_client_gets_the_state_then_events_and_resumes_without_loss(serve_feed):
    server = serve_feed(StatusFeed(), Auth())
    with connect(server.url) as client:
        (snapshot,) = receive(client)
        server.bus.publish_soon("model.loaded", {"version": "人"})
        (event,) = receive(client)
    for number in range(5):
        server.bus.publish_soon("job.progress", {"number": number})
    with connect(f"{server.url}?last_id={event['id']}") as client:
        again, *missed = receive(client, 6)

    assert snapshot["type"] == again["type"] == "snapshot"
    assert event.keys() == {"id", "type", "ts", "source", "data"}
    assert event["data"] == {"version": "人"}
    assert abs(event["ts"] - time.time()) < 60
    assert [one["data"]["number"] for one in missed] == list(range(5))


def test_pings_come_and_what_clients_say_is_discarded(serve_feed):
    server = serve_feed(StatusFeed(), Auth(), MemoryBus("a", ping_seconds=0.05))
    with connect(server.url) as client:
        for number in range(10):
            client.send(f"hello {number}")
        types = [event["type"] for event in receive(client, 5)]
        # The server answers protocol pings only when it reads.
        assert client.ping().wait(5)

    assert types == ["snapshot"] + ["ping"] * 4


def test_clients_that_leave_leave_nothing_behind(serve_feed):
    server = serve_feed(StatusFeed(), Auth(), MemoryBus("a", ping_seconds=1000))
    before = server.count_tasks()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.url)) for _ in range(20)]
        for client in clients:
            receive(client)
        assert server.bus.hub.readers == 20
        assert server.count_tasks() == before + 40  # the server's own for each, and one that listens
        for client in clients[:10]:
            client.socket.shutdown(socket.SHUT_RDWR)

    wait(lambda: server.bus.hub.readers == 0 and server.count_tasks() == before)
    assert not server.server.server_state.connections


def silent_client(server):
    """A socket that says hello and then reads nothing."""
    address = (urlsplit(server.url).hostname, urlsplit(server.url).port)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    client.sendall(
        b"GET /ws/status HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return client


def test_hundreds_that_leave_without_a_word_leave_no_task_behind(serve_feed):
    server = serve_feed(StatusFeed(), Auth(Admission(still_valid=lambda: True)), MemoryBus("a", ping_seconds=1000))
    before = server.count_tasks()
    for _ in range(3):
        with ExitStack() as stack:
            clients = [stack.enter_context(silent_client(server)) for _ in range(300)]
            wait(lambda: server.bus.hub.readers == 300)
            for number in range(10):
                server.bus.publish_soon("job.note", {"number": number, "text": "x" * 1000})
            for client in clients[:150]:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait(lambda: server.bus.hub.readers == 0 and server.count_tasks() == before)
    assert not server.server.server_state.connections


def test_a_client_that_does_not_read_is_closed_and_keeps_nobody_waiting(serve_feed):
    server = serve_feed(StatusFeed(stall_seconds=0.2, grace_seconds=0.1), Auth())
    with silent_client(server), connect(server.url) as quick:
        wait(lambda: server.bus.hub.readers == 2)
        receive(quick)
        for number in range(200):
            server.bus.publish_soon("model.loading", {"number": number, "text": "x" * 60_000})
            assert receive(quick)[0]["data"]["number"] == number
        wait(lambda: server.bus.hub.readers == 1)
        # Past the listening socket's time limit for bytes that nobody takes, the connection is gone too.
        wait(lambda: len(server.server.server_state.connections) == 1)


def test_a_slow_client_that_reads_again_is_told_to_come_back(serve_feed):
    server = serve_feed(StatusFeed(stall_seconds=0.3, grace_seconds=5), Auth())
    with connect(server.url, max_queue=1) as slow:
        receive(slow)
        for number in range(400):
            server.bus.publish_soon("model.loading", {"number": number, "text": "x" * 60_000})
        wait(lambda: server.bus.hub.readers == 0)
        with pytest.raises(ConnectionClosed) as closed:
            receive(slow, 1000)

    assert closed.value.rcvd.code == 1013


def test_a_client_too_far_behind_is_closed(serve_feed):
    server = serve_feed(StatusFeed(), Auth(), MemoryBus("a", max_events=8))
    with connect(server.url, max_queue=1) as slow:
        receive(slow)
        for number in range(400):
            server.bus.publish_soon("model.loading", {"number": number, "text": "x" * 60_000})
        wait(lambda: server.bus.hub.end == 400)
        with pytest.raises(ConnectionClosed) as closed:
            receive(slow, 1000)

    assert closed.value.rcvd.code == 1013
    assert "dropped before they were read" in closed.value.rcvd.reason


def test_the_feed_ends_with_the_sign_in(serve_feed):
    server = serve_feed(StatusFeed(), Auth(Admission(expires=time.time() + 0.3)))
    with connect(server.url) as client:
        receive(client)
        with pytest.raises(ConnectionClosed) as closed:
            receive(client, 2)

    assert closed.value.rcvd.code == 4401
    assert server.bus.hub.readers == 0


@pytest.mark.parametrize(("code", "reason"), [(4401, "sign in"), (4403, "viewer needed")])
def test_whoever_is_not_admitted_is_told_why_and_gets_nothing(serve_feed, code, reason):
    server = serve_feed(StatusFeed(), Auth(Admission(code, reason)))
    with connect(server.url) as client, pytest.raises(ConnectionClosed) as closed:
        receive(client)

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


def test_a_wrong_origin_is_not_even_accepted(serve_feed):
    server = serve_feed(StatusFeed(), Auth(Admission(1008, "origin")))
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url)

    assert refused.value.response.status_code == 403


def test_more_clients_than_allowed_are_asked_to_come_back(serve_feed):
    server = serve_feed(StatusFeed(max_clients=1), Auth())
    with connect(server.url) as first, connect(server.url) as second:
        receive(first)
        with pytest.raises(ConnectionClosed) as closed:
            receive(second)

    assert closed.value.rcvd.code == 1013


def test_the_feed_ends_when_the_right_to_it_is_taken_away(serve_feed, monkeypatch):
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.02)
    asked, valid = [], [True]
    server = serve_feed(StatusFeed(), Auth(Admission(still_valid=lambda: asked.append(0) or valid[0])))
    with connect(server.url) as client:
        receive(client)
        wait(lambda: len(asked) > 3)
        server.bus.publish_soon("model.loaded", {})
        receive(client)
        valid[0] = False
        with pytest.raises(ConnectionClosed) as closed:
            receive(client, 2)
    before = len(asked)
    time.sleep(0.1)

    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "the user was changed or removed")
    assert server.bus.hub.readers == 0
    assert len(asked) == before, "nobody looks after a socket that is closed"


def test_nobody_looks_after_a_client_that_left(serve_feed, monkeypatch):
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.02)
    asked = []
    server = serve_feed(StatusFeed(), Auth(Admission(still_valid=lambda: asked.append(0) or True)))
    with connect(server.url) as client:
        receive(client)
        wait(lambda: asked)
    wait(lambda: server.bus.hub.readers == 0)
    before = len(asked)
    time.sleep(0.1)
    assert len(asked) == before


@pytest.mark.parametrize(
    "text", ["short", "x" * 123, "x" * 124, "é" * 62, "x" + "é" * 61, "零件" * 40, "🔩" * 31, "a\ud800"]
)
def test_a_reason_is_cut_between_characters_to_what_a_close_can_bear(text):
    reason = admission.close_reason(text)
    assert len(reason.encode()) <= 123
    assert reason == text.replace("\ud800", "?")[: len(reason)]
    assert len(reason.encode()) >= min(120, len(text.encode("utf-8", "replace")))


def test_a_long_reason_in_other_letters_arrives(serve_feed):
    server = serve_feed(StatusFeed(), Auth(Admission(4403, "的角色不够" * 20)))
    with connect(server.url) as client, pytest.raises(ConnectionClosed) as closed:
        receive(client)

    assert closed.value.rcvd.code == 4403
    assert closed.value.rcvd.reason == ("的角色不够" * 20)[:41]
