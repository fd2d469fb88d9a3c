"""What the server stands beside may be gone: detection answers on, and everyone who asks is told."""

import io
import json
import resource
import sqlite3
import time
import zipfile

import httpx
import pytest
from PIL import Image as Pillow
from websockets.sync.client import connect


def png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def figures(server):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")


@pytest.fixture(scope="module")
def lonely_server(module_servers, free_ports):
    """Its Redis, its database and its MLflow are named and not there."""
    pytest.importorskip("redis")
    pytest.importorskip("psycopg")
    redis, database, mlflow = free_ports(3)
    return module_servers(
        REDIS_URL=f"redis://127.0.0.1:{redis}/0",
        DATABASE_URL=f"postgresql://pindet@127.0.0.1:{database}/pindet",
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{mlflow}",
    )


def test_without_redis_database_and_mlflow_it_answers_and_is_ready(lonely_server, scene):
    with httpx.Client(base_url=lonely_server.url, timeout=30) as client:
        for _ in range(5):
            answer = client.post("/v1/detect", content=png(scene()))
            assert answer.status_code == 200 and len(answer.json()["images"][0]["detections"]) == 3
        assert client.post("/v1/model/reload").json()["changed"] is False
        history = client.get("/v1/detections")
    assert (history.status_code, history.json()["title"]) == (503, "The database is away")
    assert int(history.headers["retry-after"]) > 0


def test_the_state_is_in_health_metrics_and_the_feed(lonely_server, scene):
    httpx.post(f"{lonely_server.url}/v1/detect", content=png(scene())).raise_for_status()
    with connect(f"{lonely_server.url.replace('http', 'ws')}/ws/status") as feed:
        seen = {}
        for _ in range(20):  # a heartbeat comes every two seconds
            event = json.loads(feed.recv(30))
            seen |= {one["type"]: one["data"] for one in (event, *event["data"].get("states", []))}
            if {"service.redis_lost", "service.history_lost"} <= seen.keys():
                break
    assert {"service.redis_lost", "service.history_lost"} <= seen.keys()
    assert seen["snapshot"]["bus"] == {"backend": "redis", "state": "down", "dropped": 0}
    ready = httpx.get(f"{lonely_server.url}/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    checks = ready.json()["checks"]
    assert not checks["bus"]["ok"] and not checks["history"]["ok"] and checks["model"]["ok"]
    assert "waiting" in checks["history"]["detail"]
    numbers = figures(lonely_server)
    assert float(numbers["pindet_bus_up"]) == float(numbers["pindet_history_up"]) == 0
    assert float(numbers["pindet_history_dropped_total"]) == 0


def test_a_disk_that_is_full_costs_history_and_jobs_only(start_server, project, scene):
    # No file may grow beyond this: the bundle fits, the database of the history does not.
    server = start_server(project, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)))
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(3):
            assert client.post("/v1/detect", content=png(scene())).status_code == 200
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a.bin", b"\0" * 100_000)
        job = client.post("/v1/jobs", content=archive.getvalue())
        assert (job.status_code, job.json()["title"]) == (507, "No room")
        until = time.monotonic() + 30
        while (health := client.get("/health/ready")).json()["checks"]["history"]["ok"]:
            assert time.monotonic() < until, health.text
            time.sleep(0.1)
        assert health.status_code == 200
        assert client.get("/v1/detections").status_code == 503


def test_a_database_of_a_later_server_costs_history_only(start_server, project, tmp_path, scene):
    with sqlite3.connect(tmp_path / "later.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('v9999')")
    database.close()
    server = start_server(project, DATABASE_URL=f"sqlite:///{tmp_path}/later.db")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        assert client.post("/v1/detect", content=png(scene())).status_code == 200
        history = client.get("/v1/detections")
        assert (history.status_code, history.json()["title"]) == (503, "The database is away")
        until = time.monotonic() + 30
        while client.get("/health").json()["checks"]["history"]["ok"]:
            assert time.monotonic() < until
            time.sleep(0.1)
    assert any("OtherRevisionError" in line["message"] for line in server.lines())
    assert not [line for line in server.lines() if line["level"] == "error"]
