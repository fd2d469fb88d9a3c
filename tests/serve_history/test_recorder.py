import os
import signal
import time
from pathlib import Path

import pytest
from pindet_serve.history.archive import Archive, Span
from pindet_serve.history.audit import AuditEntry
from pindet_serve.history.database import Database
from pindet_serve.history.recorder import Keeping, Recorder
from pindet_serve.history.records import DetectionRecord
from pindet_serve.status.backoff import Backoff

NOW = time.time_ns() // 1_000_000
ALL = Span(0, 2**53)


def found(label, score=0.5):
    return {"label": label, "label_id": 0, "score": score, "box": {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}}


def image(*objects, **changes):
    values = {
        "request_id": "r", "actor": "anna", "model_version": "v1", "model_md5": "0" * 32, "image_name": "人.png",
        "image_width": 640, "image_height": 480, "elapsed_ms": 10.0, "objects": objects,
    }  # fmt: skip
    return DetectionRecord(**(values | changes))


@pytest.fixture
def recorder(database):
    made = Recorder(database, "replica-a", flush_seconds=0.01, backoff=Backoff(0.02, 0.1))
    made.start()
    yield made
    made.stop(1)


def wait(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        time.sleep(0.01)


def test_what_is_recorded_can_be_read(database, recorder):
    recorder.record(image(found("bolt"), found("bolt", 0.7), found("人"), at_ms=NOW))
    recorder.record(AuditEntry(actor="anna", action="model.reload", details={"md5": "1"}))
    wait(lambda: recorder.waiting == 0)
    archive = Archive(database)
    (row,) = archive.detections(ALL, limit=10)
    (deed,) = archive.audit(ALL, limit=10)

    assert row["detections"] == [found("bolt"), found("bolt", 0.7), found("人")]
    assert (row["at_ms"], row["objects"], row["source"], row["image_name"]) == (NOW, 3, "replica-a", "人.png")
    assert (deed["actor"], deed["action"], deed["details"]) == ("anna", "model.reload", {"md5": "1"})
    assert recorder.dropped == 0


def test_many_records_keep_their_order_and_their_classes(database, recorder):
    for number in range(1200):
        recorder.record(image(*[found(f"class {number % 3}")] * (number % 2), request_id=str(number)))
    wait(lambda: recorder.waiting == 0)
    rows = Archive(database).detections(ALL, limit=2000)

    assert [row["request_id"] for row in rows] == [str(number) for number in reversed(range(1200))]
    odd = Archive(database).detections(ALL, limit=2000, label="class 1")
    assert {int(row["request_id"]) % 6 for row in odd} == {1}


def test_a_stop_writes_what_waits(database):
    recorder = Recorder(database, "a", flush_seconds=30)
    recorder.start()
    for _ in range(50):
        recorder.record(image())
    recorder.stop(20)

    assert len(Archive(database).detections(ALL, limit=100)) == 50
    assert recorder.dropped == 0


def test_a_spool_that_is_full_drops_the_oldest_and_counts(tmp_path, caplog):
    away = Database(f"sqlite:///{tmp_path}/history.db")
    recorder = Recorder(away, "a", Keeping(spool=10))
    for number in range(25):
        recorder.record(image(request_id=str(number)))
    assert (recorder.waiting, recorder.dropped) == (10, 15)
    recorder.start()
    recorder.stop(20)

    rows = Archive(away).detections(ALL, limit=100)
    assert [row["request_id"] for row in rows] == [str(number) for number in range(24, 14, -1)]
    assert "the history spool is full (10)" in caplog.text
    away.close()


def test_what_does_not_fit_the_columns_is_cut_and_what_fits_nowhere_is_dropped_alone(database, recorder):
    recorder.record(image(request_id="x" * 500, image_name="a\0b"))
    recorder.record(image(request_id="bad", image_width=2**70))
    recorder.record(image(request_id="worse", objects=[{"label": "a", "score": object()}]))
    recorder.record(image(request_id="good"))
    wait(lambda: recorder.waiting == 0)
    rows = Archive(database).detections(ALL, limit=10)

    assert [row["request_id"] for row in rows] == ["good", "x" * 64]
    assert rows[1]["image_name"] == "a\N{REPLACEMENT CHARACTER}b"
    assert recorder.dropped == 2
    assert recorder.state == "up"


def test_the_old_is_removed_with_its_classes_and_the_new_stays(database):
    day = 24 * 3600 * 1000
    keeps_all = Recorder(database, "a", Keeping(detection_days=0, audit_days=0))
    for age in (1, 3, 10):
        keeps_all.record(image(found("bolt"), request_id=str(age), at_ms=NOW - age * day))
        keeps_all.record(AuditEntry(actor=str(age), action="x", at_ms=NOW - age * day))
    keeps_all.start()
    wait(lambda: keeps_all.waiting == 0)
    keeps_all.stop()
    archive = Archive(database)
    assert len(archive.detections(ALL, limit=10)) == len(archive.audit(ALL, limit=10)) == 3

    keeps_some = Recorder(database, "a", Keeping(detection_days=2, audit_days=5), flush_seconds=0)
    keeps_some.start()
    keeps_some.record(AuditEntry(actor="now", action="x"))
    wait(lambda: [row["actor"] for row in archive.audit(ALL, limit=10)] == ["now", "3", "1"])
    keeps_some.stop()

    assert [row["request_id"] for row in archive.detections(ALL, limit=10)] == ["1"]
    assert archive.statistics(ALL, day)["classes"][0]["objects"] == 1


def test_a_database_that_goes_away_and_comes_back_gets_everything(postgres_server):
    database = Database(postgres_server.new_database(), timeout_s=2)
    told = []
    recorder = Recorder(
        database, "a", flush_seconds=0.01, backoff=Backoff(0.02, 0.1), publish=lambda *event: told.append(event)
    )
    recorder.start()
    recorder.record(image(request_id="before"))
    wait(lambda: recorder.waiting == 0)
    postgres_server.stop()
    for number in range(20):
        recorder.record(image(request_id=str(number)))
    wait(lambda: recorder.state == "down")
    assert recorder.waiting == 20
    postgres_server.start()
    wait(lambda: recorder.waiting == 0 and recorder.state == "up")
    recorder.stop()

    assert len(Archive(database).detections(ALL, limit=100)) == 21
    assert recorder.dropped == 0
    kinds = [kind for kind, _ in told]
    assert kinds == ["service.history_lost", "service.history_back"] * (len(kinds) // 2) and kinds
    assert told[0][1] == {"id": "history", "reason": "OperationalError"}
    assert told[-1][1] == {"id": "history", "dropped": 0}
    database.close()


def test_a_database_whose_disk_is_full_gets_everything_when_there_is_room_again(small_postgres_server):
    database = Database(small_postgres_server.new_database(), timeout_s=2)
    recorder = Recorder(database, "a", flush_seconds=0.01, backoff=Backoff(0.02, 0.1))
    recorder.start()
    recorder.record(image(request_id="before"))
    wait(lambda: recorder.waiting == 0)
    filler = small_postgres_server.folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(2**16))
    recorded = 1
    while recorder.state == "up":  # pages that are there take some more
        assert recorded < 2000
        recorder.record(image(*(found("bolt") for _ in range(50)), request_id=str(recorded)))
        recorded += 1
        time.sleep(0.01)
    assert recorder.waiting > 0
    filler.unlink()
    wait(lambda: recorder.waiting == 0 and recorder.state == "up")
    recorder.stop()

    assert Archive(database).statistics(ALL, 2**53)["images"] == recorded
    assert recorder.dropped == 0
    database.close()


def test_a_frozen_database_keeps_no_one_waiting_and_counts_what_is_lost_at_the_stop(postgres_server):
    database = Database(postgres_server.new_database(), timeout_s=2)
    recorder = Recorder(database, "a", flush_seconds=0.01)
    recorder.start()
    recorder.record(image())
    wait(lambda: recorder.waiting == 0)
    frozen = children(postgres_server.process.pid)
    for process in frozen:
        os.kill(process, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for _ in range(5):
            recorder.record(image())
        assert time.monotonic() - began < 0.5
        recorder.stop(deadline_s=0.3)
        assert time.monotonic() - began < 3
        assert (recorder.waiting, recorder.dropped) == (0, 5)
    finally:
        for process in frozen:
            os.kill(process, signal.SIGCONT)
    wait(lambda: not recorder._thread.is_alive())
    database.close()


def children(process):
    own = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    return [process, *map(int, own)]
