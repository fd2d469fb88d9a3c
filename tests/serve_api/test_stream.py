"""The live socket answers the newest frame and says what it left out."""

import io
import json

import pytest
from PIL import Image as Pillow
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def opened(server, query=""):
    return connect(f"{server.url.replace('http', 'ws')}/v1/stream{query}", max_size=None)


def test_each_frame_has_its_answer(server, scene):
    with opened(server) as socket:
        for number, image in enumerate([scene(), scene(90, 250)]):
            socket.send(png(image))
            answer = json.loads(socket.recv(10))
            assert (answer["frame"], answer["dropped"]) == (number, 0)
            assert (answer["image_height"], answer["image_width"]) == image.shape[:2]
            assert {item["label"] for item in answer["detections"]} == {"red", "blue", "white"}
            assert answer["model"]["md5"].endswith(".dir")


def test_old_frames_are_dropped_when_it_is_behind(start_server, project, scene):
    server = start_server(project, "--max-batch=1", slow=0.3)
    with opened(server) as socket:
        for _ in range(10):
            socket.send(png(scene()))
        answers = [json.loads(socket.recv(10))]
        while answers[-1]["frame"] < 9:
            answers.append(json.loads(socket.recv(10)))
    assert len(answers) < 6
    assert answers[-1]["dropped"] == 10 - len(answers)


def test_a_bad_frame_costs_only_itself(server, scene):
    with opened(server) as socket:
        socket.send(b"no image")
        assert json.loads(socket.recv(10))["error"]["status"] == 400
        socket.send(png(scene()))
        assert len(json.loads(socket.recv(10))["detections"]) == 3


def test_the_parameters(server, scene):
    with opened(server, "?classes=red&classes=blue&max_detections=1&score_threshold=0.2") as socket:
        socket.send(png(scene()))
        (only,) = json.loads(socket.recv(10))["detections"]
        assert only["label"] in ("red", "blue")


@pytest.mark.parametrize("query", ["?score_threshold=2", "?score_threshold=x", "?classes=green", "?max_detections=9"])
def test_wrong_parameters_close_it(server, query):
    with opened(server, query) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd.code == 1008


# Too large by a last small fragment: a server that closes with much unread resets the connection, and its code is lost.
TOO_LARGE = [b"\0" * 2**22, b"\0" * 1025]


@pytest.mark.parametrize(("message", "code"), [("text", 1008), (TOO_LARGE, 1009)])
def test_what_is_no_frame_closes_it(server, message, code):
    with opened(server) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send(message)
        socket.recv(10)
    assert closed.value.rcvd.code == code


@pytest.mark.parametrize("letter", ["ü", "零", "\N{NUT AND BOLT}"])
def test_a_reason_in_any_letters_arrives(server, letter):
    with opened(server, f"?classes={letter * 60}") as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(10)
    assert closed.value.rcvd.code == 1008
    assert closed.value.rcvd.reason.startswith(f"unknown classes ['{letter}")
