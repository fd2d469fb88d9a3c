"""A real server process: how it starts and stops, and what it does when too much or too little is asked of it."""

import concurrent.futures
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"
START = "POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"


def jpeg(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


@pytest.fixture
def data(scene):
    return jpeg(scene())


def ask(server, data, timeout=30):
    return httpx.post(f"{server.url}/v1/detect", content=data, headers={"content-type": "image/jpeg"}, timeout=timeout)


def asked(server, data, count):
    """Ask many times at once; the futures of the answers."""
    pool = concurrent.futures.ThreadPoolExecutor(count)
    futures = [pool.submit(ask, server, data) for _ in range(count)]
    pool.shutdown(wait=False)
    return futures


def queued(server):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("pindet_queue_images ")).split()[1])


def wait_until(condition, seconds=40):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def test_it_is_small_and_quick(start_server, project, data):
    server = start_server(project)
    used = psutil.Process(server.process.pid).cpu_times()
    assert used.user + used.system < 3  # its own time: the wall's depends on what else runs here
    for _ in range(20):
        assert ask(server, data).status_code == 200
    assert server.rss_mb() < 350


@pytest.mark.parametrize(
    ("flags", "variables", "message"),
    [
        (["--host=0.0.0.0"], {}, "set JWT_SECRET"),
        (["--host=0.0.0.0"], {"JWT_SECRET": "changeme-changeme-changeme-changeme"}, "placeholder"),
        (["--source=nowhere"], {}, "no folder"),
        (["--device=cuda"], {}, "'cuda'"),
        (["--engine=openvino", "--device=cuda"], {}, "engine openvino runs on auto, cpu"),
        ([], {"REDIS_URL": "mysql://x"}, "redis://"),
    ],
)
def test_it_does_not_start_with_a_wrong_setting(start_server, project, flags, variables, message):
    server = start_server(project, *flags, ready=False, **variables)
    assert server.process.wait(20) == 2
    assert message in server.log.read_text("utf-8")
    assert "Traceback" not in server.log.read_text("utf-8")


def test_a_port_that_another_listens_on_is_said_before_a_model_is_loaded(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "serve")}
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "pindet_serve", f"--port={port}"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port} of 127.0.0.1 can not be listened on: Address already in use" in line and "--port" in line


def test_outside_a_project_it_says_what_to_do_in_one_line_and_leaves_nothing_behind(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "serve")}
    command = [sys.executable, "-m", "pindet_serve", "--port=0"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("pindet-serve: ") and "make repro" in line and "--source" in line
    assert list(tmp_path.iterdir()) == []


def test_it_may_open_as_many_files_as_the_system_grants(start_server, project):
    server = start_server(project, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 2048)))
    assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (2048, 2048)


def test_sigterm_answers_what_was_asked(start_server, project, data):
    server = start_server(project, "--max-batch=2", slow=0.01)
    server.hold.touch()
    answers = asked(server, data, 10)
    wait_until(lambda: queued(server) == 10)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: any(line["message"] == "Shutting down" for line in server.lines()))
    server.hold.unlink()
    assert [answer.result(20).status_code for answer in answers] == [200] * 10
    server.process.wait(10)
    assert not any(line["level"] == "error" for line in server.lines())


def test_sigterm_ends_at_the_deadline_all_the_same(start_server, project, data):
    server = start_server(project, "--max-batch=1", "--drain-s=1", slow=1.5)
    answers = asked(server, data, 6)
    wait_until(lambda: queued(server) == 6)
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(15)
    assert time.monotonic() - started < 5  # the six would take nine seconds
    concurrent.futures.wait(answers, 10)


def test_sigkill_and_start_again(start_server, project, data):
    server = start_server(project)
    model = httpx.get(f"{server.url}/v1/model").json()
    answers = asked(server, data, 4)
    server.process.kill()
    concurrent.futures.wait(answers, 10)
    again = start_server(project)
    assert httpx.get(f"{again.url}/v1/model").json() == model
    assert ask(again, data).status_code == 200


def test_a_full_queue_says_when_to_come_back(start_server, project, data):
    server = start_server(project, "--queue-size=4", "--max-batch=1", slow=0.01)
    server.hold.touch()
    answers = asked(server, data, 4)
    wait_until(lambda: queued(server) == 4)
    ready = httpx.get(f"{server.url}/health/ready")
    refused = ask(server, data)
    assert (refused.status_code, refused.json()["title"]) == (503, "Overloaded")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert ready.status_code == 503
    assert not ready.json()["checks"]["queue"]["ok"]
    server.hold.unlink()
    assert [answer.result(20).status_code for answer in answers] == [200] * 4
    assert ask(server, data).status_code == 200


def test_what_waited_too_long_is_never_run(start_server, project, data):
    server = start_server(project, "--deadline-s=0.5", "--max-batch=1", slow=0.01)
    server.hold.touch()
    first = asked(server, data, 2)  # one on each stream
    wait_until(lambda: queued(server) == 2)
    late = asked(server, data, 4)
    wait_until(lambda: queued(server) == 6)
    time.sleep(0.6)  # their deadline is over
    server.hold.unlink()
    assert [answer.result(20).status_code for answer in first] == [200, 200]
    assert [answer.result(20).status_code for answer in late] == [503] * 4
    runs = httpx.get(f"{server.url}/metrics").text
    count = next(line for line in runs.splitlines() if line.startswith("pindet_batch_images_count"))
    assert float(count.split()[1]) == 2


def test_what_nobody_waits_for_is_never_run(start_server, project, data):
    server = start_server(project, "--max-batch=1", "--deadline-s=100", slow=0.01)
    server.hold.touch()
    first = asked(server, data, 2)  # one on each stream
    wait_until(lambda: queued(server) == 2)
    head = START + f"Content-Length: {len(data)}\r\n\r\n"
    sockets = []
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(head.encode() + data)
        sockets.append(connection)
    wait_until(lambda: queued(server) == 7)
    for connection in sockets:
        connection.close()
    wait_until(lambda: queued(server) == 2)
    server.hold.unlink()
    assert [answer.result(20).status_code for answer in first] == [200, 200]
    assert ask(server, data).status_code == 200
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    runs = float(next(line for line in lines if line.startswith("pindet_batch_images_count")).split()[1])
    assert runs == 3  # the first two and the last


def test_a_slow_upload_ends(start_server, project, data):
    server = start_server(project, "--body-timeout-s=0.5")
    port = server.port
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = START + f"Content-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:10])
        connection.settimeout(10)
        assert b" 408 " in connection.recv(4096)
    assert ask(server, data).status_code == 200


def test_what_waits_is_inferred_together(start_server, project, data):
    server = start_server(project, "--max-batch=4", "--threads=1", slow=0.3)
    answers = [answer.result(20).json()["images"][0] for answer in asked(server, data, 9)]
    assert max(answer["timing"]["batch"] for answer in answers) == 4


def test_reloads_and_refused_loads_under_load(start_server, project, make_bundle, lock, data):
    """50 of each; no request fails, every answer is right, the memory stays."""
    server = start_server(project, "--max-batch=2")
    bundle = project / "models" / "bundle"
    stopped, failures, answered = threading.Event(), [], []

    def load():
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not stopped.is_set():
                response = client.post("/v1/detect", content=data, headers={"content-type": "image/jpeg"})
                scores = {item["score"] for item in response.json().get("images", [{}])[0].get("detections", [])}
                if response.status_code != 200 or scores not in ({0.9}, {0.7}):
                    failures.append(response.text)
                answered.append(1)

    thread = threading.Thread(target=load)
    thread.start()
    sizes = []
    try:
        for number in range(50):
            make_bundle(bundle, score=(0.7, 0.9)[number % 2])
            lock(project)
            assert httpx.post(f"{server.url}/v1/model/reload", timeout=30).json()["changed"]
            (bundle / "model.onnx").write_bytes(b"broken")
            refused = httpx.post(f"{server.url}/v1/model/reload", timeout=30)
            assert refused.status_code == 409
            sizes.append(server.rss_mb())
    finally:
        stopped.set()
        thread.join()
    assert failures == []
    assert len(answered) > 50
    # The C library settles some 20 MB higher after seventy loads and stays there; models that stayed would add up.
    assert np.mean(sizes[-10:]) < np.mean(sizes[10:20]) + 30
    assert httpx.get(f"{server.url}/health").json()["status"] == "degraded"
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
