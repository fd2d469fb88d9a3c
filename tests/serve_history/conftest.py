"""The same tests on SQLite and on a real PostgreSQL server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pindet_serve.history.database import Database


class PostgresServer:
    """A PostgreSQL server that tests may stop, freeze and start again on the same port."""

    def __init__(self, folder, port):
        self.folder = folder
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else None
        self.port = port
        if self.user:
            shutil.chown(folder, self.user)
        self._run("initdb", "-D", str(folder / "data"), "-U", "pindet", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.process = None

    def _run(self, *command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self.user, cwd="/")

    def start(self):
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                ["postgres", "-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-F",
                 "-c", "unix_socket_directories="],
                stdout=log, stderr=log, user=self.user, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def address(self, name):
        return f"postgresql://pindet@127.0.0.1:{self.port}/{name}"

    def new_database(self):
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)


@contextmanager
def running(folder, port):
    if not (shutil.which("postgres") and shutil.which("initdb")):
        pytest.skip("PostgreSQL (postgres, initdb) is not installed")
    server = PostgresServer(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_server(free_ports):
    # Not in pytest's own folder, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="pindet-postgres-") as folder, running(Path(folder), *free_ports(1)) as it:
        yield it


@pytest.fixture
def small_postgres_server(free_ports):
    """A PostgreSQL server whose ``folder`` is a file system of 100 MB of its own."""
    with tempfile.TemporaryDirectory(prefix="pindet-postgres-") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", folder]
        if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a small file system needs root, and a machine that lets it mount")
        try:
            with running(Path(folder), *free_ports(1)) as server:
                yield server
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    return request.getfixturevalue("postgres_server").new_database()


@pytest.fixture
def database(url):
    opened = Database(url)
    yield opened
    opened.close()
