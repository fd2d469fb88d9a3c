"""All bodies together take no more memory than is allowed, and give it back however they end."""

import io
import json
import socket
import time

import httpx
import pytest
from PIL import Image as Pillow
from pindet_serve.api.body_room import BodyRoom
from websockets.sync.client import connect

FLAGS = ("--max-body-mb=1", "--max-bodies-mb=1.5")


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_is_held_is_given_back_once():
    room = BodyRoom(10)
    with room.holder() as first:
        assert first.take(6)
        with room.holder() as second:
            assert not second.take(5) and second.take(4)
            assert room.used == 10
        assert room.used == 6
        first.give_back()
        first.give_back()
    assert room.used == 0


def half_sent(server, size):
    """A connection that declares a body and sends some of it."""
    connection = socket.create_connection(("127.0.0.1", server.port))
    start = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    head = f"{start}Content-Length: {size + 1}\r\n\r\n"
    connection.sendall(head.encode() + b"\0" * size)
    return connection


def answered(server, data, status, seconds=20):
    until = time.monotonic() + seconds
    while (response := httpx.post(f"{server.url}/v1/detect", content=data)).status_code != status:
        assert time.monotonic() < until, response.text
        time.sleep(0.02)
    return response


@pytest.fixture(scope="module")
def bodies_server(module_servers):
    return module_servers(*FLAGS)


def test_bodies_that_fill_the_memory_keep_others_out_until_they_end(bodies_server, scene):
    noise = b"\0" * (700 * 1024)
    held = [half_sent(bodies_server, len(noise)), half_sent(bodies_server, len(noise))]
    refused = answered(bodies_server, noise, 503)
    assert "memory" in refused.json()["detail"] and refused.headers["retry-after"] == "1"
    assert answered(bodies_server, png(scene()), 200)
    for connection in held:
        connection.close()
    assert "no image" in answered(bodies_server, noise, 400).json()["detail"]


def test_a_frame_without_room_is_told_so_and_costs_only_itself(bodies_server, scene):
    held = [half_sent(bodies_server, 700 * 1024), half_sent(bodies_server, 700 * 1024)]
    answered(bodies_server, b"\0" * (700 * 1024), 503)
    with connect(f"{bodies_server.url.replace('http', 'ws')}/v1/stream") as stream:
        stream.send(b"\0" * (700 * 1024))
        refused = json.loads(stream.recv(20))
        stream.send(png(scene()))
        answer = json.loads(stream.recv(20))
    assert (refused["frame"], refused["dropped"], refused["error"]["status"]) == (0, 0, 503)
    assert "memory" in refused["error"]["detail"]
    assert (answer["frame"], answer["dropped"], len(answer["detections"])) == (1, 0, 3)
    for connection in held:
        connection.close()


def test_a_job_takes_none_of_it(bodies_server):
    held = [half_sent(bodies_server, 700 * 1024), half_sent(bodies_server, 700 * 1024)]
    answered(bodies_server, b"\0" * (700 * 1024), 503)
    refused = httpx.post(f"{bodies_server.url}/v1/jobs", content=b"PK\3\4" + b"\0" * (900 * 1024))
    assert refused.json()["title"] == "Unreadable input"
    for connection in held:
        connection.close()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/v1/auth/token", "application/x-www-form-urlencoded"), ("/v1/users", "application/json"),
     ("/v1/releases/production", "application/json")],
)  # fmt: skip
def test_a_form_that_finds_no_room_is_told_when_to_come_back(bodies_server, path, content_type):
    held = [half_sent(bodies_server, 700 * 1024), half_sent(bodies_server, 700 * 1024)]
    answered(bodies_server, b"\0" * (700 * 1024), 503)
    headers = {"content-type": content_type}
    refused = httpx.post(bodies_server.url + path, content=b" " * (700 * 1024), headers=headers)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1"), refused.text
    assert "memory" in refused.json()["detail"]
    for connection in held:
        connection.close()
