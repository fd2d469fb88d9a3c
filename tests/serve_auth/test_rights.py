"""Every route of the sign-in and status routers × everyone who may ask."""

import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

ROLES = ("viewer", "operator", "admin")
REFUSED = (
    "nobody", "expired", "forged", "wrong audience", "wrong issuer", "alg none", "other algorithm", "raised role",
    "unknown role", "no generation", "garbage", "basic",
)  # fmt: skip
RIGHTS = {
    ("POST", "/v1/auth/ticket"): "viewer",
    ("POST", "/v1/auth/renew"): "viewer",
    ("GET", "/v1/auth/me"): "viewer",
    ("GET", "/v1/users"): "admin",
    ("POST", "/v1/users"): "admin",
    ("PATCH", "/v1/users/{name}"): "admin",
    ("DELETE", "/v1/users/{name}"): "admin",
}
OPEN = {("POST", "/v1/auth/token")}


def test_the_table_names_every_route(app):
    described = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}

    assert described == RIGHTS.keys() | OPEN


@pytest.mark.parametrize(("method", "path"), RIGHTS)
@pytest.mark.parametrize("who", ROLES + REFUSED)
def test_each_route_lets_in_who_may(client, proofs, method, path, who):
    answer = client.request(method, path.replace("{name}", "nobody"), headers=proofs[who], json={})

    if who in REFUSED:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    elif ROLES.index(who) < ROLES.index(RIGHTS[method, path]):
        assert answer.status_code == 403
        assert who in answer.json()["detail"]
    else:
        assert answer.status_code not in (401, 403)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("who", ROLES)
def test_the_feed_lets_in_every_role(client, proofs, who):
    with client.websocket_connect("/ws/status", headers=proofs[who]) as socket:
        assert socket.receive_json()["type"] == "snapshot"


@pytest.mark.parametrize("who", REFUSED)
def test_the_feed_closes_for_everyone_else(client, proofs, who):
    with client.websocket_connect("/ws/status", headers=proofs[who]) as socket:
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4401


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (None, True),
        ("http://server.example", True),
        ("https://page.example", True),
        ("https://server.example", True),  # a proxy took the TLS off
        ("http://server.example:8080", False),
        ("http://evil.example", False),
        ("http://server.example.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("file://server.example", False),
    ],
)
def test_the_feed_asks_where_a_page_comes_from(client, proofs, origin, accepted):
    headers = proofs["admin"] | ({} if origin is None else {"Origin": origin})
    if accepted:
        with client.websocket_connect("ws://server.example/ws/status", headers=headers) as socket:
            assert socket.receive_json()["type"] == "snapshot"
    else:
        refusals = (WebSocketDisconnect, WebSocketDenialResponse)
        with pytest.raises(refusals), client.websocket_connect("ws://server.example/ws/status", headers=headers):
            pass
