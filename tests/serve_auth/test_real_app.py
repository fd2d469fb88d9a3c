"""Every route of the server × everyone who may ask."""

import shutil
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from pindet_serve.api.app import create_app
from pindet_serve.serving.service import Service
from pindet_serve.settings import Settings
from starlette.websockets import WebSocketDisconnect

ROLES = ("viewer", "operator", "admin")
RIGHTS = {
    ("POST", "/v1/detect"): "viewer",
    ("GET", "/v1/model"): "viewer",
    ("POST", "/v1/model/reload"): "operator",
    ("POST", "/v1/model/rollback"): "operator",
    ("POST", "/v1/jobs"): "viewer",
    ("GET", "/v1/jobs"): "viewer",
    ("GET", "/v1/jobs/{job_id}"): "viewer",
    ("GET", "/v1/jobs/{job_id}/result"): "viewer",
    ("DELETE", "/v1/jobs/{job_id}"): "viewer",
    ("GET", "/v1/detections"): "viewer",
    ("GET", "/v1/statistics"): "viewer",
    ("GET", "/v1/audit"): "admin",
    ("POST", "/v1/auth/ticket"): "viewer",
    ("POST", "/v1/auth/renew"): "viewer",
    ("GET", "/v1/releases"): "viewer",
    ("POST", "/v1/releases/{stage}"): "admin",
    ("GET", "/v1/auth/me"): "viewer",
    ("GET", "/v1/users"): "admin",
    ("POST", "/v1/users"): "admin",
    ("PATCH", "/v1/users/{name}"): "admin",
    ("DELETE", "/v1/users/{name}"): "admin",
}
OPEN = {
    ("POST", "/v1/auth/token"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}
SOCKETS = ("/ws/status", "/v1/stream")


@pytest.fixture(scope="module")
def served(database_file, tmp_path_factory):
    """The application, not started, with a name for a model: who is let in is decided before anything else."""
    state = tmp_path_factory.mktemp("state")
    shutil.copy(database_file, state / "history.db")
    release = SimpleNamespace(version="v1", bundle_md5="0" * 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Service, "model", SimpleNamespace(release=release))
        yield create_app(Settings(state=state, source=str(state), jwt_secret="0123456789abcdef" * 5))


def test_the_tables_name_every_route(served):
    described = {(method.upper(), path) for path, methods in served.openapi()["paths"].items() for method in methods}

    assert described == RIGHTS.keys() | OPEN


@pytest.mark.parametrize(("method", "path"), RIGHTS)
def test_each_route_lets_in_who_may(served, proofs, method, path):
    client = TestClient(served, raise_server_exceptions=False)
    for who, headers in proofs.items():
        answer = client.request(method, path.replace("{name}", "nobody"), headers=headers)
        if who not in ROLES:
            assert answer.status_code == 401, who
        elif ROLES.index(who) < ROLES.index(RIGHTS[method, path]):
            assert answer.status_code == 403, who
        else:
            assert answer.status_code not in (401, 403), who


@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
def test_open_routes_ask_nobody(served, method, path):
    answer = TestClient(served, raise_server_exceptions=False).request(method, path)

    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize("path", SOCKETS)
def test_each_socket_lets_in_who_may(served, proofs, path):
    client = TestClient(served)
    for headers in (headers for who, headers in proofs.items() if who not in ROLES):
        with client.websocket_connect(path, headers=headers) as socket:
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_json()
            assert closed.value.code == 4401
    for who in ROLES:
        with pytest.raises(WebSocketDisconnect):
            # A page of another site is not let in with any proof.
            client.websocket_connect(path, headers=proofs[who] | {"Origin": "https://evil.example"}).__enter__()


def test_the_errors_of_sign_in_and_history_are_described(served):
    for path, methods in served.openapi()["paths"].items():
        for method, route in methods.items():
            if (method.upper(), path) in RIGHTS:
                assert {"401", "403"} <= route["responses"].keys(), path
