"""A real Redis server, and a server with the feed, on free ports."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest


class RedisServer:
    """A redis-server process that tests may stop, freeze and start again on the same port."""

    def __init__(self, folder, password=None):
        self.folder, self.password = folder, password
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
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


@pytest.fixture(scope="session")
def redis_binary():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")


@pytest.fixture
def redis_server(redis_binary, tmp_path):
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def locked_redis_server(redis_binary, tmp_path):
    server = RedisServer(tmp_path, password="right")
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
                    return seen

    return events
