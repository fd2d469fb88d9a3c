"""Servers, and clients that ask them: what ``serving.py`` measures with."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil


@dataclass(frozen=True)
class Load:
    """What clients saw: (status, seconds, has Retry-After) of each request, and how long they went on."""

    answers: list[tuple[int, float, bool]]
    seconds: float

    def rate(self) -> float:
        """Requests answered with 200, a second."""
        return sum(status == 200 for status, *_ in self.answers) / self.seconds

    def quantile(self, quantile: float) -> float:
        """Of the seconds of requests answered with 200."""
        return float(np.quantile([seconds for status, seconds, _ in self.answers if status == 200], quantile))


def together(loads: Sequence[Load]) -> Load:
    """Several loads on the same server, as one."""
    return Load([answer for each in loads for answer in each.answers], sum(each.seconds for each in loads))


@dataclass(frozen=True)
class Running:
    """A server that answers, and how long that took from the start of its process, in seconds."""

    process: psutil.Process
    start_s: float

    def resident_mib(self) -> float:
        """Memory of the process and those that it started."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(process.memory_info().rss for process in every) / 2**20


@contextmanager
def serving(
    command: list[str], port: int, *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a server until it is not needed any more, here and with the variables of this process by default."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seen = psutil.Process(process.pid)
    try:
        until = time.monotonic() + 120
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start: {' '.join(command)}")
            time.sleep(0.02)
        yield Running(seen, time.perf_counter() - started)
    finally:
        every = [*seen.children(recursive=True), seen]
        process.terminate()
        _, left = psutil.wait_procs(every, timeout=30)
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(30)


def load(port: int, files: list[bytes], seconds: float, clients: int, rate: float = 0) -> Load:
    """Ask from some connections, each as fast as it is answered, or all together ``rate`` times a second."""
    answers: list[tuple[int, float, bool]] = []
    until = time.perf_counter() + seconds

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        due = time.perf_counter() + (number / rate if rate else 0)
        while (now := time.perf_counter()) < until:
            if rate and now < due:
                time.sleep(min(due, until) - now)
                continue
            due += clients / rate if rate else 0
            started = time.perf_counter()
            body = files[(number + len(answers)) % len(files)]
            connection.request("POST", "/v1/detect", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            answers.append((response.status, time.perf_counter() - started, bool(response.getheader("Retry-After"))))
        connection.close()

    started = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(answers, time.perf_counter() - started)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
