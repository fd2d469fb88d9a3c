"""Real servers for a headless Chromium: one open, one with sign-in and a user of each role."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import httpx
import pytest
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.principal import Principal
from pindet_serve.auth.tokens import Tokens
from pindet_serve.auth.users import Users
from pindet_serve.history.database import Database

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "correct horse battery 7"
SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"
SIGNED_IN = "sessionStorage.getItem('pindet.token') ?? sessionStorage.setItem('pindet.token', JSON.stringify(%s))"


def sibling(name, folder):
    """Another suite's conftest as a module: its bundles and servers are wanted here too."""
    path = REPOSITORY / "tests" / folder / "conftest.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_api = sibling("browser_serve_api", "serve_api")
_status = sibling("browser_serve_status", "serve_status")
make_release, make_bundle, scene = _api.make_release, _api.make_bundle, _api.scene_fixture
redis_server = _status.redis_server


class Server:
    """A real server process that can be ended and started again on the same port."""

    def __init__(self, folder, source, *flags, **variables):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder, self.source, self.flags, self.variables = folder, source, flags, variables
        self.state = folder / "state"
        self.process = None

    def start(self):
        command = [
            sys.executable, "-m", "pindet_serve", f"--source={self.source}", f"--port={self.port}",
            f"--state={self.state}", "--threads=1", "--engine=onnxruntime", "--drain-s=1", *self.flags,
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "serve")} | self.variables
        with (self.folder / f"log-{self.port}").open("a") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if self.process.poll() is not None:
                pytest.fail(f"the server ended: {(self.folder / f'log-{self.port}').read_text('utf-8')}")
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail("the server is not ready after 60 s")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    def detect(self, image, name="part.png", headers=None):
        """Send a picture, uint8 ``[H, W, 3]`` RGB, as a program would."""
        files = {"images": (name, png(image))}
        return httpx.post(f"{self.url}/v1/detect", files=files, headers=headers, timeout=30).raise_for_status().json()


def png(image):
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.fixture(name="png")
def png_fixture():
    return png


@pytest.fixture
def make_server(tmp_path):
    """Start servers; they are ended after the test."""
    servers = []

    def start(source=None, *flags, folder=tmp_path, **variables):
        source = source or _api.write_project(folder / "project")
        servers.append(Server(folder, source, *flags, **variables))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server without sign-in, for all tests that only ask it."""
    folder = tmp_path_factory.mktemp("open")
    made = Server(folder, _api.write_project(folder / "project"), "--max-body-mb=4")
    try:
        yield made.start()
    finally:
        made.stop()


def add_users(state):
    """A viewer, an operator and an administrator, each named as its role."""
    state.mkdir(parents=True, exist_ok=True)
    database = Database(f"sqlite:///{state / 'history.db'}")
    hash = Passwords().hash(PASSWORD)
    for role in ("viewer", "operator", "admin"):
        Users(database).create(role, hash, role)
    database.close()


@pytest.fixture(name="add_users")
def add_users_fixture():
    return add_users


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A server with sign-in and a user of each role."""
    folder = tmp_path_factory.mktemp("guarded")
    made = Server(folder, _api.write_project(folder / "project"), JWT_SECRET=SECRET)
    add_users(made.state)
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def open_page(chromium):
    """Open a view; what the console says is checked at the end: no script error, nothing that the policy blocked."""
    contexts, said = [], []

    def open(server, view="live", *, ready="main :first-child", token=None, renew_at=9e15, **options):
        defaults = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "reduced_motion": "reduce"}
        context = chromium.new_context(**(defaults | options))
        contexts.append(context)
        context.set_default_timeout(60_000)
        if token:  # there before the page's own code: a page that asks without it forgets what it finds later
            context.add_init_script(SIGNED_IN % json.dumps({"token": token, "endsAt": 9e15, "renewAt": renew_at}))
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(f"{server.url}/{view if view == 'docs' else f'#/{view}'}")
        if ready:
            page.wait_for_selector(ready, state="attached")
        return page

    yield open
    for context in contexts:
        context.close()
    # A failed request is said by the browser itself; the tests ask for those on purpose.
    wrong = [text for text in said if not text.startswith(("Failed to load resource", "WebSocket connection to"))]
    assert wrong == []


@pytest.fixture
def in_live():
    """Run a script beside Live, which is shown by itself with the script's ``store``."""

    def run(page, text):
        return page.evaluate("""async () => {
            const { Store } = await import("/web/store.js");
            const { mount } = await import("/web/views/live.js");
            const store = new Store(), root = document.createElement("main");
            document.body.replaceChildren(root);
            mount(root, { store, socket: Object.assign(new EventTarget(), { state: "live" }) });
            const frame = () => new Promise(requestAnimationFrame);
            const drawn = async () => { store.dispatchEvent(new Event("change")); await frame(); await frame(); };
            TEXT
        }""".replace("TEXT", text))  # fmt: skip

    return run


@pytest.fixture
def sign_in():
    """Fill in the sign-in."""

    def fill(page, name, password=PASSWORD):
        page.fill("#name", name)
        page.fill("#password", password)
        page.press("#password", "Enter")
        page.wait_for_selector("#sign-in", state="detached")

    return fill


@pytest.fixture
def token_of():
    """A token of a user of the guarded server, signed as the server signs."""

    def make(server, name):
        user = stored_user(server, name)
        return Tokens([SECRET]).issue(user.name, user.role, user.generation)

    return make


@pytest.fixture
def ticket_of():
    """A ticket for a socket of the guarded server, whose sign-in ends after some seconds."""

    def make(server, name, seconds):
        user = stored_user(server, name)
        return Tokens([SECRET]).issue_ticket(Principal(user.name, user.role, user.generation, time.time() + seconds))

    return make


def stored_user(server, name):
    database = Database(f"sqlite:///{server.state / 'history.db'}")
    user = Users(database).get(name)
    database.close()
    return user
