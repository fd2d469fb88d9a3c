"""How long an event takes from publish to receipt, and what a client costs, with many clients on one replica.

The server runs in a process of its own, the clients in this one; both share the machine's cores, so the figures are
an upper bound. Prints one JSON object. Example: ``python benchmarks/status_feed.py --clients 2000 --events 50``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pindet_serve.api.sockets import WatchedWebSocket
from pindet_serve.serving.memory import collect_rarely
from pindet_serve.status.admission import Admission
from pindet_serve.status.bus import Bus
from pindet_serve.status.feed import StatusFeed
from pindet_serve.status.opening import open_bus
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

HANDSHAKE = (
    b"GET /ws/status HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Everyone:
    """Admits everyone, so that signing in is not measured."""

    async def admit(self, _: WebSocket) -> Admission:
        """Yes."""
        return Admission()


def resident_kib() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() // 1024


def serve(listener: socket.socket, redis_url: str | None, pipe: Connection) -> None:
    """Serve the feed; publish, and tell memory and tasks, when the pipe says so."""
    collect_rarely()
    bus = open_bus(redis_url, "replica")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await bus.start()
        asyncio.get_running_loop().add_reader(pipe.fileno(), obey, bus, pipe)
        yield
        await bus.stop()

    app = FastAPI(lifespan=lifespan)
    app.state.bus, app.state.auth = bus, Everyone()
    app.router.routes.append(WebSocketRoute("/ws/status", StatusFeed()))
    config = uvicorn.Config(
        app, log_level="error", ws=WatchedWebSocket, ws_per_message_deflate=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run(sockets=[listener])


def obey(bus: Bus, pipe: Connection) -> None:
    """Carry out one request of the measuring process."""
    if pipe.recv() == "publish":
        bus.publish_soon("model.loaded", {"sent": time.monotonic(), "version": "v1.2.3", "md5": "0" * 32})
    else:
        pipe.send((resident_kib(), len(asyncio.all_tasks()), bus.hub.readers, time.process_time()))


class Client(asyncio.Protocol):
    """The cheapest client there is: notes when bytes that end in a given marker came."""

    def __init__(self, ready: list[int], received: list[float]) -> None:
        self.ready, self.received, self.greeted = ready, received, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if not self.greeted:
            self.greeted = b'"snapshot"' in data
            self.ready.append(1) if self.greeted else None
        elif (at := data.rfind(b'"sent":')) >= 0:
            self.received.append(time.monotonic() - float(data[at + 7 : data.index(b",", at)]))


async def measure(port: int, count: int, events: int, pipe: Connection) -> dict[str, float]:
    """Connect, publish, disconnect."""
    loop = asyncio.get_running_loop()

    def ask() -> tuple[int, int, int, float]:
        pipe.send("tell")
        answer: tuple[int, int, int, float] = pipe.recv()
        return answer

    ready: list[int] = []
    received: list[float] = []
    before = ask()
    clients = []
    for start in range(0, count, 50):
        opening = [loop.create_connection(lambda: Client(ready, received), "127.0.0.1", port)
                   for _ in range(min(50, count - start))]  # fmt: skip
        clients += [client for _, client in await asyncio.gather(*opening)]
        while len(ready) < len(clients):
            await asyncio.sleep(0.005)
    busy_from, during = time.monotonic(), ask()
    for number in range(1, events + 1):
        pipe.send("publish")
        while len(received) < number * count:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
    after = ask()
    for client in clients:
        client.transport.close()
    deadline = time.monotonic() + 30
    while (end := ask())[2] and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    cuts = statistics.quantiles(received, n=1000)
    return {
        "clients": count,
        "events": events,
        "p50_ms": round(cuts[499] * 1000, 2),
        "p99_ms": round(cuts[989] * 1000, 2),
        "max_ms": round(max(received) * 1000, 2),
        "server_cpu_us_per_delivery": round((after[3] - during[3]) / (events * count) * 1e6, 1),
        "kib_per_client": round((during[0] - before[0]) / count, 1),
        "kib_left_over": end[0] - before[0],
        "tasks_before": before[1],
        "tasks_with_clients": during[1],
        "tasks_after": end[1],
        "seconds": round(time.monotonic() - busy_from, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--events", type=int, default=50)
    parser.add_argument("--redis-url", help="bus on this Redis instead of in memory")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    server = context.Process(target=serve, args=(listener, arguments.redis_url, theirs), daemon=True)
    server.start()
    try:
        port = listener.getsockname()[1]
        # The first round shows what a client takes, the second what is left over: the allocator's own is no leak.
        first = asyncio.run(measure(port, arguments.clients, 1, ours))
        second = asyncio.run(measure(port, arguments.clients, arguments.events, ours))
        result = second | {"kib_per_client": first["kib_per_client"]}
    finally:
        server.terminate()
        server.join()
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
