"""A socket whose peer is gone is given up by the kernel; a message that brings its frame is not framed again."""

import os
import socket
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from pindet_serve.api.sockets import WatchedWebSocket
from pindet_serve.status.feed import FRAME
from pindet_serve.status.hub import Entry
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

TEXTS = ["", "short", "零件" * 100, "x" * 70_000]


async def accept_only(scope, receive, send):
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.accept"}) if scope.setdefault("new", True) else None
        scope["new"] = False


async def framed(_, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    for text in TEXTS:
        await send({"type": "websocket.send", "text": "its own", FRAME: Entry((1, 0, 0), None, text).frame})
    await send({"type": "websocket.send", "text": "without a frame"})
    await send({"type": "websocket.close", "code": 1000, "reason": ""})
    await send({"type": "websocket.send", "text": "", FRAME: b"nothing comes after the end"})


@contextmanager
def serving(app):
    config = uvicorn.Config(app, ws=WatchedWebSocket, ws_per_message_deflate=False, lifespan="off", log_level="warning")
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def port():
    with serving(accept_only) as made:
        yield made


def test_a_frame_that_a_message_brings_is_sent_as_it_is():
    with serving(framed) as port, connect(f"ws://127.0.0.1:{port}", max_size=None) as client:
        assert list(client) == [*TEXTS, "without a frame"]


def served_end(peer):
    """The server's end, in this process, of the connection of a client's port."""
    for path in Path("/proc/self/fd").iterdir():
        descriptor = int(path.name)
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as own:
                if own.family == socket.AF_INET and own.getpeername()[1] == peer:
                    return {
                        "patience": own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
                        "keep-alive": own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                    }
        except OSError:
            continue
    raise AssertionError("the server has no such connection")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has TCP_USER_TIMEOUT")
def test_a_websocket_is_watched_from_its_first_moment(port):
    with connect(f"ws://127.0.0.1:{port}/") as client:
        assert served_end(client.socket.getsockname()[1]) == {"patience": 30_000, "keep-alive": 1}


@pytest.mark.parametrize("origin", [None, "http://elsewhere.example"])
def test_a_ticket_is_not_logged(start_server, project, origin):
    server = start_server(project)
    address = f"{server.url.replace('http', 'ws')}/ws/status?ticket=of-one-use"
    try:
        with connect(address, origin=origin) as client:
            client.recv(10)
        assert origin is None
    except InvalidStatus:
        assert origin is not None
    server.process.terminate()
    server.process.wait(20)
    said = server.log.read_text()
    assert "ready" in said or "started" in said.lower()
    assert "of-one-use" not in said
