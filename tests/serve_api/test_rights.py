"""Who may do what on a server with sign-in: every route, as OpenAPI lists them, for every role."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PASSWORD = "correct horse battery 7"
OPEN = {("get", "/health"), ("get", "/health/live"), ("get", "/health/ready"), ("get", "/metrics")}
OPEN |= {("post", "/v1/auth/token")}
LEAST = {
    "viewer": [
        ("post", "/v1/detect"), ("get", "/v1/model"), ("get", "/v1/jobs"), ("post", "/v1/jobs"),
        ("get", "/v1/jobs/{job_id}"), ("get", "/v1/jobs/{job_id}/result"), ("delete", "/v1/jobs/{job_id}"),
    ],
    "operator": [("post", "/v1/model/reload"), ("post", "/v1/model/rollback")],
}  # fmt: skip
ROLES = ["viewer", "operator", "admin"]


@pytest.fixture(scope="module")
def guarded(guarded_server):
    """A server with sign-in and one user of each role, and the tokens of these."""
    database = f"sqlite:///{guarded_server.state / 'history.db'}"
    paths = {"PYTHONPATH": str(Path(__file__).parents[2] / "serve")}
    tokens = {}
    for role in ROLES:
        environment = os.environ | paths | {"DATABASE_URL": database, "PINDET_USER_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "pindet_serve.auth", role, "--role", role]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    for role in ROLES:
        form = {"username": role, "password": PASSWORD}
        answer = httpx.post(f"{guarded_server.url}/v1/auth/token", data=form, timeout=30)
        tokens[role] = answer.raise_for_status().json()["access_token"]
    return guarded_server, tokens


def ask(server, method, path, token=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, server.url + path.replace("{job_id}", "none"), headers=headers, timeout=30)


def test_nobody_gets_anything_that_is_not_open(guarded):
    server, _ = guarded
    document = httpx.get(f"{server.url}/openapi.json").json()
    routes = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert {route for routes_ in LEAST.values() for route in routes_} <= routes
    for method, path in routes - OPEN:
        response = ask(server, method, path)
        assert response.status_code == 401, (method, path)
        assert response.headers["www-authenticate"] == "Bearer"
        assert ask(server, method, path, "forged.token.here").status_code == 401
        # A route may be quicker where a request has no parameters.
        assert ask(server, method, f"{path}?record=false").status_code == 401, (method, path)


@pytest.mark.parametrize("least", LEAST)
def test_each_role_may_do_what_is_its_own_and_no_more(guarded, least):
    server, tokens = guarded
    for method, path in LEAST[least]:
        for role in ROLES:
            status = ask(server, method, path, tokens[role]).status_code
            assert (status == 403) == (ROLES.index(role) < ROLES.index(least)), (method, path, role, status)
            assert status != 401


def test_what_an_operator_does_is_audited(guarded):
    server, tokens = guarded
    ask(server, "post", "/v1/model/reload", tokens["operator"])
    with sqlite3.connect(server.state / "history.db") as database:
        query = "SELECT * FROM audit WHERE (actor, action, outcome) = ('operator', 'model.reload', 'done')"
        until = time.monotonic() + 10
        while not database.execute(query).fetchall():
            assert time.monotonic() < until, "no entry came"
            time.sleep(0.1)
    database.close()
    log = server.log.read_text("utf-8")
    assert PASSWORD not in log
    assert not any(token in log for token in tokens.values())


@pytest.mark.parametrize("path", ["/v1/stream", "/ws/status"])
def test_a_socket_needs_a_ticket(guarded, path):
    server, tokens = guarded
    address = server.url.replace("http", "ws") + path
    with connect(address) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd.code == 4401
    ticket = ask(server, "post", "/v1/auth/ticket", tokens["viewer"]).json()["ticket"]
    with connect(f"{address}?ticket={ticket}") as socket:
        socket.send(b"no image")
        assert socket.recv(10)


@pytest.mark.parametrize("change", [None, {"enabled": False}, {"role": "operator"}])
def test_open_sockets_end_with_the_rights_of_their_user(guarded, change):
    server, tokens = guarded
    admin = {"authorization": f"Bearer {tokens['admin']}"}
    new = {"name": "guest", "password": PASSWORD}
    httpx.post(f"{server.url}/v1/users", json=new, headers=admin, timeout=30).raise_for_status()
    form = {"username": "guest", "password": PASSWORD}
    token = httpx.post(f"{server.url}/v1/auth/token", data=form, timeout=30).json()["access_token"]
    address, headers = server.url.replace("http", "ws"), {"authorization": f"Bearer {token}"}
    try:
        with (
            connect(f"{address}/ws/status", additional_headers=headers) as feed,
            connect(f"{address}/v1/stream", additional_headers=headers) as stream,
        ):
            feed.recv(10)
            stream.send(b"no image")
            assert "error" in stream.recv(10)
            path = f"{server.url}/v1/users/guest"
            done = httpx.patch(path, json=change, headers=admin) if change else httpx.delete(path, headers=admin)
            done.raise_for_status()
            began = time.monotonic()
            for socket in (feed, stream):
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        socket.recv(30)
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "the user was changed or removed")
            assert time.monotonic() - began < 20
    finally:
        httpx.delete(f"{server.url}/v1/users/guest", headers=admin)
