"""How soon running servers follow a promotion and a rollback, and whether a request is lost on the way.

    PYTHONPATH=serve python benchmarks/following.py
    PYTHONPATH=serve python benchmarks/following.py path/of/a/project --rounds 5

What is committed in the project is cloned into a temporary folder, with a git origin, a DVC remote and a DVC cache of
its own; the project itself is only read. There the export makes a second bundle. Two servers follow the release file,
first without Redis (they look at it every five seconds), then with one (they are told at once; left out where
redis-server is not installed). Clients send golden images to both all the while; `pindet promote` and
`pindet rollback` take turns. Measured for each server and change: from the moment that the release file was written
("file"), and from the end of the command ("command"), to the first answer of the other version. The command goes on
for a moment after it wrote the file, so that the second is negative where a server was faster than that.

Exits with 1 if a request failed (no answer, or another status than 200), if an answer was stale (of the version
before, to a request that was sent when the server had answered with the new one already), or if a server took longer
than --within.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from http_load import free_ports, serving
from project_clone import Clone, change_bundle, clone
from rich.console import Console
from rich.table import Table

REPLICAS = 2
CLIENTS = 2
"""Connections to each replica."""
PATIENCE_S = 60.0
"""For a replica to follow; after that it counts as never."""
SETTLE_S = 1.0
"""From the last replica's first new answer to the next command."""
WITHOUT, WITH = "without Redis", "with Redis"


@dataclass(frozen=True)
class Answer:
    """One request: the replica's port, when it was sent and answered (seconds since the epoch), and what came of it."""

    port: int
    sent: float
    came: float
    status: int
    version: str


@dataclass(frozen=True)
class Change:
    """A promotion or a rollback: to which version, and when it began, wrote the release file, and ended."""

    bus: str
    kind: str
    version: str
    began: float
    written: float
    ended: float


@dataclass(frozen=True)
class Followed:
    """What came of a change: seconds of each replica from the file and from the command, and the requests meanwhile."""

    change: Change
    from_file: list[float]
    from_command: list[float]
    sent: int
    failed: int
    stale: int


class Traffic:
    """Asks replicas steadily, each ``rate`` times a second, while it is entered."""

    def __init__(self, ports: list[int], files: list[bytes], rate: float) -> None:
        self.answers: list[Answer] = []
        self._files, self._pause, self._stop = files, CLIENTS / rate, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for port in ports * CLIENTS]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answered(self, version: str, since: float) -> set[int]:
        """Ports that gave an answer of a version to a request of a time or later."""
        return {one.port for one in list(self.answers) if one.version == version and one.sent >= since}

    def _ask(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not self._stop.is_set():
            body, sent = self._files[len(self.answers) % len(self._files)], time.time()
            status, version = 0, ""
            try:
                connection.request("POST", "/v1/detect", body, {"Content-Type": "image/png"})
                response = connection.getresponse()
                response.read()
                status, version = response.status, response.getheader("X-Model-Version") or ""
            except (OSError, http.client.HTTPException) as error:
                say(f"a request to port {port} failed: {error!r}")
                connection.close()  # the next request opens another
            self.answers.append(Answer(port, sent, time.time(), status, version))
            self._stop.wait(max(0.0, self._pause - (time.time() - sent)))
        connection.close()


def say(text: str) -> None:
    """Tell how far it is, beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis of our own that keeps nothing; give its address."""
    (port,) = free_ports(1)
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit("redis-server did not start")
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def release(project: Clone, bus: str, kind: str, command: list[str], variables: dict[str, str]) -> Change:
    """Run a command that changes what is released."""
    began = time.time()
    outcome = json.loads(project.run("pindet", *command, "--stage", "production", "--json", **variables))
    ended = time.time()
    return Change(bus, kind, outcome["version"], began, project.release_file.stat().st_mtime, ended)


def wait_until_followed(traffic: Traffic, change: Change, ports: list[int]) -> None:
    """Wait until every replica answers with the version of a change, or patience ends."""
    until = change.ended + PATIENCE_S
    while traffic.answered(change.version, change.began) != set(ports) and time.time() < until:
        time.sleep(0.05)
    time.sleep(SETTLE_S)


def followed(change: Change, until: float, answers: list[Answer], ports: list[int]) -> Followed:
    """What the answers to requests from the beginning of a change until the next say of it."""
    during = [one for one in answers if change.began <= one.sent < until]
    firsts = dict.fromkeys(ports, math.inf)
    for one in during:
        if one.version == change.version:
            firsts[one.port] = min(firsts[one.port], one.came)
    return Followed(
        change,
        [first - change.written for first in firsts.values()],
        [first - change.ended for first in firsts.values()],
        len(during),
        sum(one.status != 200 for one in during),
        sum(one.status == 200 and one.version != change.version and one.sent > firsts[one.port] for one in during),
    )


def measure(
    project: Clone, bus: str, commit: str, rounds: int, rate: float, variables: dict[str, str]
) -> list[Followed]:
    """Promote a commit and roll back in turns under traffic; the production stage holds the version before it."""
    ports = free_ports(REPLICAS)
    state = project.folder / bus.replace(" ", "-")
    files = [path.read_bytes() for path in sorted((project.root / "models/bundle/golden").glob("*.png"))]
    changes: list[Change] = []
    with ExitStack() as running:
        for port in ports:
            options = [f"--port={port}", f"--source={project.release_file}", f"--state={state}-{port}", "--threads=1"]
            command = [sys.executable, "-m", "pindet_serve", *options]
            environment = project.variables | variables
            running.enter_context(serving(command, port, folder=project.root, environment=environment))
        traffic = running.enter_context(Traffic(ports, files, rate))
        for turn in range(1, rounds + 1):
            for kind, arguments in (("promote", ["promote", "--rev", commit]), ("rollback", ["rollback"])):
                changes.append(release(project, bus, kind, arguments, variables))
                wait_until_followed(traffic, changes[-1], ports)
                so_far = followed(changes[-1], math.inf, list(traffic.answers), ports)
                say(f"{bus}, round {turn} of {rounds}: {kind} to {changes[-1].version}, {_shown(so_far.from_file)} s")
    ends = [change.began for change in changes[1:]] + [math.inf]
    return [followed(change, end, traffic.answers, ports) for change, end in zip(changes, ends, strict=True)]


def _shown(seconds: list[float]) -> str:
    return " and ".join(f"{each:.1f}" for each in seconds)


def measure_all(given: Path, folder: Path, rounds: int, rate: float) -> list[Followed]:
    """Set everything up in a folder and measure without and with Redis."""
    say("cloning the project, and fetching what its dvc.lock pins")
    project = clone(given, folder)
    before = project.commit("the version before")
    say("promoting it, so that there is something to serve")
    project.run("pindet", "promote", "--stage", "production", "--rev", before)
    say("exporting a second bundle")
    change_bundle(project)
    commit = project.commit("another bundle")
    results = measure(project, WITHOUT, commit, rounds, rate, {})
    if shutil.which("redis-server") is None:
        say("redis-server is not installed: not measured with Redis")
        return results
    with redis(folder) as address:
        return results + measure(project, WITH, commit, rounds, rate, {"REDIS_URL": address})


def table(results: list[Followed]) -> Table:
    """With and without Redis × promotion and rollback."""
    shown = Table("", "change", "file, s", "command, s", "sent", "failed", "stale")
    for bus, kind in dict.fromkeys((one.change.bus, one.change.kind) for one in results):
        these = [one for one in results if (one.change.bus, one.change.kind) == (bus, kind)]
        files = [seconds for one in these for seconds in one.from_file]
        commands = [seconds for one in these for seconds in one.from_command]
        seconds = [f"{statistics.median(each):.1f} / {max(each):.1f}" for each in (files, commands)]
        counts = [sum(one.sent for one in these), sum(one.failed for one in these), sum(one.stale for one in these)]
        shown.add_row(bus, kind, *seconds, *map(str, counts))
    return shown


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", nargs="?", type=Path, default=Path(__file__).parents[1], help="default: this one")
    parser.add_argument("--rounds", type=int, default=3, help="promotions and rollbacks, each; without and with Redis")
    parser.add_argument("--rate", type=float, default=10, help="requests a second to each of the two servers")
    parser.add_argument("--within", type=float, default=10, help="longest seconds from the release file to an answer")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="following-") as folder:
        results = measure_all(arguments.project.resolve(), Path(folder), arguments.rounds, arguments.rate)
    console = Console()
    console.print(table(results))
    console.print(
        f"Median / worst of two servers and {arguments.rounds} times, {arguments.rate:g} requests a second to each; "
        "--help says more."
    )
    if any(one.failed or one.stale or max(one.from_file) > arguments.within for one in results):
        console.print(f"a request failed, or a server took more than {arguments.within:g} s")
        sys.exit(1)


if __name__ == "__main__":
    main()
