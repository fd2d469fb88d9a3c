import asyncio
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pindet_serve.api import problems
from pindet_serve.auth.guard import OpenGuard
from pindet_serve.history.audit import AuditEntry
from pindet_serve.history.history import open_history
from pindet_serve.history.records import DetectionRecord
from pindet_serve.history.routes import router

NOW = time.time_ns() // 1_000_000
HOUR = 3_600_000


def image(number, at_ms=NOW):
    return DetectionRecord(
        request_id=f"r{number}", actor="anna", model_version="v1", model_md5="0" * 32, image_width=4, image_height=3,
        elapsed_ms=5.0, objects=[{"label": "人", "label_id": 0, "score": 0.5, "box": {}}], at_ms=at_ms,
    )  # fmt: skip


@pytest.fixture
def history(tmp_path):
    """Three images of now and one of the day before yesterday, and one deed."""
    return filled(None, tmp_path)


def filled(url, folder):
    opened = open_history(url, folder, "replica-a")

    async def fill():
        await opened.start()
        opened.record(image(0, NOW - 48 * HOUR))
        for number in (1, 2, 3):
            opened.record(image(number))
        opened.audit(AuditEntry(actor="anna", action="model.reload", address="127.0.0.1"))
        await opened.stop()

    asyncio.run(fill())
    return opened


@pytest.fixture
def client(history):
    return client_of(history)


def client_of(history):
    app = FastAPI()
    problems.install(app)
    app.state.auth, app.state.history = OpenGuard(), history
    app.include_router(router)
    return TestClient(app, base_url="http://localhost")


def test_pages_of_the_last_day(client):
    first = client.get("/v1/detections", params={"limit": 2}).json()
    second = client.get("/v1/detections", params={"limit": 2, "before_id": first["next_before_id"]}).json()

    assert [one["request_id"] for one in first["images"] + second["images"]] == ["r3", "r2", "r1"]
    assert second["next_before_id"] is None
    assert first["images"][0]["detections"][0]["label"] == "人"


def test_a_span_a_class_and_a_request_choose(client):
    def ask(**query):
        return [one["request_id"] for one in client.get("/v1/detections", params=query).json()["images"]]

    assert ask(since_ms=0) == ["r3", "r2", "r1", "r0"]
    assert ask(until_ms=NOW - HOUR, since_ms=0) == ["r0"]
    assert ask(label="人", limit=1) == ["r3"]
    assert ask(label="bolt") == []
    assert ask(request_id="r2") == ["r2"]


def test_statistics_of_the_last_day(client):
    seen = client.get("/v1/statistics").json()

    assert (seen["images"], seen["objects"]) == (3, 3)
    assert seen["classes"] == [{"label": "人", "objects": 3, "images": 3, "mean_score": 0.5}]
    assert seen["series"][0]["start_ms"] == NOW - NOW % HOUR


def test_deeds(client):
    (deed,) = client.get("/v1/audit").json()["deeds"]

    assert (deed["actor"], deed["action"], deed["outcome"]) == ("anna", "model.reload", "done")


@pytest.mark.parametrize(
    ("path", "query", "reason"),
    [
        ("detections", {"since_ms": 5, "until_ms": 5}, "since must be before until"),
        ("detections", {"limit": 501}, "limit"),
        ("detections", {"before_id": 2**63}, "before_id"),
        ("detections", {"since_ms": -1}, "since_ms"),
        ("statistics", {"since_ms": 0, "step_ms": 1000}, "at most 10000 are allowed"),
    ],
)
def test_what_is_not_allowed_is_said(client, path, query, reason):
    answer = client.get(f"/v1/{path}", params=query)

    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("path", ["detections", "statistics", "audit"])
def test_without_the_database_it_is_503_with_a_time(client, history, path, tmp_path):
    history.database.close()
    for file in tmp_path.iterdir():
        file.unlink()
    (tmp_path / "history.db").mkdir()

    answer = client.get(f"/v1/{path}")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("query", [{"label": "\0"}, {"request_id": "r\0"}, {"model_md5": "\0"}])
def test_text_that_no_record_can_hold_is_not_taken_for_a_database_that_is_away(url, tmp_path, query):
    history = filled(url, tmp_path)
    path = "statistics" if "model_md5" in query else "detections"
    answer = client_of(history).get(f"/v1/{path}", params=query)
    history.database.close()
    if url.startswith("sqlite"):
        assert answer.status_code == 200 and not answer.json()["images"]
    else:
        assert answer.status_code == 422 and "NUL" in answer.json()["detail"]


def test_how_history_is(history):
    assert history.describe() == {"backend": "sqlite", "state": "up", "waiting": 0, "dropped": 0}
