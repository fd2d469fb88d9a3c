"""A socket whose peer is gone is given up by the kernel."""

import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from pindet_serve.api.sockets import WatchedWebSocket
from websockets.sync.client import connect


async def accept_only(scope, receive, send):
    while (await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.accept"}) if scope.setdefault("new", True) else None
        scope["new"] = False


@pytest.fixture
def port():
    config = uvicorn.Config(accept_only, ws=WatchedWebSocket, lifespan="off", log_level="warning")
    server, listener = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)


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
