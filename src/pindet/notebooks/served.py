"""A server to ask: the one that ``PINDET_URL`` names, else one of the notebook's own."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pindet_serve.client import Client, ClientError
from pindet_serve.detections import Detections

from pindet.notebooks.opening import NotReadyError, Project, said_plainly

_STARTED = "running on "
_START_WITHIN = 120.0
_ELSEWHERE = ("PINDET_", "JWT_SECRET", "REDIS_", "DATABASE_URL", "OTEL_")
"""Settings of a server that others use: this one keeps to itself."""
# It ends when its standard input does: with its notebook, however that ends.
_PROGRAM = """
import os, signal, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
from pindet_serve.__main__ import main
main()
"""


class Served:
    """A server, and a client that is signed in to it.

    Attributes:
        client: asks it.
        url: where it is.
        is_own: whether the notebook started it.
    """

    def __init__(self, client: Client, url: str, own: OwnServer | None = None) -> None:
        self.client, self.url = client, url
        self._own = own

    @property
    def is_own(self) -> bool:
        return self._own is not None

    def stop(self) -> None:
        """End the notebook's own server; one that was there before goes on."""
        if self._own:
            self._own.stop()


def open_server(project: Project) -> Served:
    """Return a server that answers.

    ``PINDET_URL`` names one that is there already, ``PINDET_USER`` and ``PINDET_PASSWORD`` sign in to it. Without it,
    one is started for the project's bundle, on a free port of this machine; it leaves nothing behind.

    Raises:
        NotReadyError: it does not answer, or can not serve the bundle; the message says why.
    """
    url = os.environ.get("PINDET_URL")
    if url:
        with said_plainly(ValueError, ClientError):
            client = Client(url, user=os.environ.get("PINDET_USER"), password=os.environ.get("PINDET_PASSWORD"))
            client.model()
        return Served(client, url)
    own = OwnServer(project.root)
    return Served(Client(own.url), own.url, own)


class OwnServer:
    """A server process of the project's bundle; it ends with this process.

    Attributes:
        url: where it listens.

    Raises:
        NotReadyError: it did not start.
    """

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pindet-served-")
        self._log = Path(self._folder.name) / "log"
        state = Path(self._folder.name) / "state"
        options = [f"--source={root}", f"--state={state}", "--host=127.0.0.1", "--port=0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_ELSEWHERE)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *options],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        atexit.register(self.stop)
        try:
            self.url = self._address()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it and remove what it kept."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()
        atexit.unregister(self.stop)

    def _address(self) -> str:
        until = time.monotonic() + _START_WITHIN
        while time.monotonic() < until:
            said = self._log.read_text("utf-8", "replace").splitlines()
            for line in said:
                if _STARTED in line:
                    return str(json.loads(line)["message"].partition(_STARTED)[2].split()[0])
            if self._process.poll() is not None:
                raise NotReadyError(f"The server did not start. It said: {said[-1] if said else 'nothing'}")
            time.sleep(0.05)
        raise NotReadyError(f"The server did not start within {_START_WITHIN:.0f} s; try `make serve` to see why.")


def detections_of(rows: Sequence[Mapping[str, Any]]) -> Detections:
    """The ``detections`` of an answer as arrays."""
    boxes = [[row["box"][corner] for corner in ("x1", "y1", "x2", "y2")] for row in rows]
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([row["score"] for row in rows], np.float32),
        np.array([row["label_id"] for row in rows], np.int64),
    )
