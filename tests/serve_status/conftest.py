"""Real servers on free ports: Redis, and one with the status feed."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI
from pindet_serve.status.memory_bus import MemoryBus
from starlette.routing import WebSocketRoute


class RedisServer:
    """A redis-server process that tests may stop, freeze and start again on the same port."""

    def __init__(self, folder, port, password=None):
        self.folder, self.port, self.password = folder, port, password
        self.process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        password = ["--requirepass", self.password] if self.password else []
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
             "--appendfsync", "no", "--dir", str(self.folder), *password],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                if connection.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                    return
            time.sleep(0.02)
        raise TimeoutError("redis-server does not answer")

    def stop(self):
        if self.process:
            self.thaw()
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def lose_data(self):
        shutil.rmtree(self.folder / "appendonlydir")


@pytest.fixture
def redis_server(tmp_path, free_ports):
    yield from running(tmp_path, *free_ports(1))


@pytest.fixture
def locked_redis_server(tmp_path, free_ports):
    yield from running(tmp_path, *free_ports(1), password="right")


def running(folder, port, password=None):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    server = RedisServer(folder, port, password)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def until():
    """Wait until a condition holds, at most 10 s."""

    async def wait(condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def read():
    """Read a number of events, or those until one of a type."""

    async def events(iterator, count=None, until=None):
        seen = []
        async with asyncio.timeout(10):
            async for event in iterator:
                seen.append(event)
                if event.type == until or len(seen) == count:
                    break
        return seen

    return events


class FeedServer:
    """A server in a thread that has nothing but the status feed."""

    def __init__(self, feed, auth, bus):
        self.bus, self.tasks = bus, None
        app = FastAPI(lifespan=self._lifespan)
        app.state.bus, app.state.auth = bus, auth
        app.router.routes.append(WebSocketRoute("/ws/status", feed))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
        self.url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws/status"
        config = uvicorn.Config(app, ws_per_message_deflate=False, log_level="warning", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _):
        self.loop = asyncio.get_running_loop()
        await self.bus.start()
        yield
        await self.bus.stop()

    def count_tasks(self):
        async def count():
            return len(asyncio.all_tasks())

        return asyncio.run_coroutine_threadsafe(count(), self.loop).result(5)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture
def serve_feed():
    """Start a :class:`FeedServer`; the tests stop none."""
    servers = []

    def start(feed, auth, bus=None):
        servers.append(FeedServer(feed, auth, bus or MemoryBus("replica-a")))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
