"""An application with sign-in and three users."""

import shutil
import time

import jwt
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pindet_serve.api import problems
from pindet_serve.auth import renewal
from pindet_serve.auth import routes as auth_routes
from pindet_serve.auth.opening import open_guard
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.users import Users
from pindet_serve.history.database import Database
from pindet_serve.status import routes as status_routes
from pindet_serve.status.memory_bus import MemoryBus

SECRET = "0123456789abcdef" * 5
PASSWORD = "long enough 人"


@pytest.fixture
def password():
    return PASSWORD


@pytest.fixture
def secret():
    return SECRET


@pytest.fixture(scope="session")
def database_file(tmp_path_factory):
    """A database with the users ``viewer``, ``operator`` and ``admin``, each in the role of its name, one password."""
    path = tmp_path_factory.mktemp("users") / "history.db"
    database = Database(f"sqlite:///{path}")
    hash = Passwords().hash(PASSWORD)
    for role in ("viewer", "operator", "admin"):
        Users(database).create(role, hash, role)
    database.close()
    return path


@pytest.fixture
def database(database_file, tmp_path):
    shutil.copy(database_file, tmp_path / "history.db")
    opened = Database(f"sqlite:///{tmp_path}/history.db")
    opened._migrated = True  # the copied file is
    yield opened
    opened.close()


@pytest.fixture
def users(database):
    return Users(database)


@pytest.fixture
def deeds():
    """The audit entries so far."""
    return []


@pytest.fixture
def guard(database, deeds):
    bus = MemoryBus("a")
    opened = open_guard([SECRET], database, bus.claim, deeds.append, allowed_origins=["https://page.example"])
    opened.bus = bus
    return opened


@pytest.fixture
def app(guard):
    app = FastAPI()
    problems.install(app)
    app.state.auth, app.state.bus = guard, guard.bus
    app.include_router(auth_routes.router)
    app.include_router(renewal.router)
    app.include_router(status_routes.router)
    return app


@pytest.fixture
def client(app):
    return TestClient(app, base_url="http://server.example")


@pytest.fixture
def token(guard, users):
    """Make tokens: of a user, and with claims, key or algorithm changed."""

    def make(name="viewer", key=SECRET, algorithm="HS256", **changes):
        good = guard.tokens.issue(name, users.get(name).role, users.get(name).generation)
        if (key, algorithm, changes) == (SECRET, "HS256", {}):
            return good
        claims = jwt.decode(good, options={"verify_signature": False}) | changes
        headers = {"kid": jwt.get_unverified_header(good)["kid"]}
        return jwt.encode(claims, key if algorithm != "none" else None, algorithm, headers=headers)

    return make


@pytest.fixture
def proofs(token):
    """What may come with a request, by who sends it: headers."""
    now = time.time()
    tokens = {
        "viewer": token("viewer"),
        "operator": token("operator"),
        "admin": token("admin"),
        "expired": token("admin", exp=now - 1),
        "forged": token("admin", key="another secret that is long enough"),
        "wrong audience": token("admin", aud="pindet-ticket"),
        "wrong issuer": token("admin", iss="someone"),
        "alg none": token("admin", algorithm="none"),
        "other algorithm": token("admin", algorithm="HS512"),
        "raised role": token("viewer", key="another secret that is long enough", role="admin"),
        "unknown role": token("admin", role="root"),
        "no generation": token("admin", gen=None),
        "garbage": "a.b.c",
    }
    headers = {who: {"Authorization": f"Bearer {text}"} for who, text in tokens.items()}
    return headers | {"nobody": {}, "basic": {"Authorization": "Basic YWRtaW46YWRtaW4="}}
