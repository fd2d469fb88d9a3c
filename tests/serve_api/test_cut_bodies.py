"""Bodies that end too early, come too slowly or are too large: the same answer on every route, no error logged."""

import socket
import uuid

import httpx
import pytest

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
BODIES = [
    ("/v1/detect", "image/png", b"\x89PNG\r\n\x1a\n"),
    ("/v1/detect?record=false", "image/png", b"\x89PNG\r\n\x1a\n"),
    ("/v1/detect", "multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"'),
    ("/v1/detect", JSON, b'{"urls": ['),
    ("/v1/jobs", "application/zip", b"PK\3\4" + b"\0" * 100),
    ("/v1/auth/token", FORM, b"username=anna&pass"),
    ("/v1/auth/token", "multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"'),
    ("/v1/users", JSON, b'{"name": "an'),
    ("/v1/releases/production", JSON, b'{"version": "v1'),
]


@pytest.fixture(scope="module")
def cutting_server(module_servers):
    return module_servers("--max-body-mb=1", "--body-timeout-s=2", "--url-hosts=10.0.0.1")


def begun(server, path, content_type, body, length=1000):
    """A connection with the beginning of a request, and the request's id."""
    request_id = uuid.uuid4().hex
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {request_id}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.settimeout(30)
    connection.sendall(head.encode() + body)
    return connection, request_id


@pytest.mark.parametrize(("path", "content_type", "body"), BODIES)
def test_a_client_that_leaves_while_it_sends_is_no_failure(cutting_server, path, content_type, body):
    connection, request_id = begun(cutting_server, path, content_type, body)
    connection.close()
    line = cutting_server.line_of(request_id)
    assert (line["status"], line["level"], line["path"]) == (499, "info", path.partition("?")[0])
    assert not [line for line in cutting_server.lines() if line["level"] == "error" or "exception" in line]
    assert not list((cutting_server.state / "jobs").glob("*"))
    route = path.partition("?")[0].replace("production", "{stage}")
    assert f'pindet_requests_total{{method="POST",route="{route}",status="499"}}' in figures(cutting_server)


def figures(server):
    return httpx.get(f"{server.url}/metrics").text


@pytest.mark.parametrize(("path", "content_type", "body"), BODIES)
def test_a_body_that_comes_too_slowly_is_told_so(cutting_server, path, content_type, body):
    connection, _ = begun(cutting_server, path, content_type, body)
    with connection:
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 408 "), answer
    assert "content-type: application/problem+json" in answer and "connection: close" in answer.lower()


@pytest.mark.parametrize(("path", "content_type"), [one[:2] for one in BODIES if one[0] != "/v1/jobs"])
def test_a_body_that_is_too_large_is_told_so(cutting_server, path, content_type):
    answer = httpx.post(cutting_server.url + path, content=b" " * (2**20 + 1), headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["title"]) == (413, "Body too large")
