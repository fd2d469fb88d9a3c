import pytest
from pindet_serve.history.archive import Archive, Span
from pindet_serve.history.records import DetectionRecord, write


def image(at_ms, *labels, model="v1", elapsed_ms=10.0):
    return DetectionRecord(
        request_id=f"r{at_ms}", actor="a", model_version=model, model_md5=model[1] * 32, image_width=1, image_height=1,
        elapsed_ms=elapsed_ms, at_ms=at_ms,
        objects=[{"label": label, "score": score} for label, score in labels],
    )  # fmt: skip


@pytest.fixture
def archive(database):
    images = [
        image(1000, ("bolt", 0.5), ("bolt", 0.7), ("nut", 0.9)),
        image(1999, elapsed_ms=40.0),
        image(2000, ("bolt", 0.9), model="v2"),
        image(9000, ("nut", 0.1), model="v2"),
    ]
    with database.begin() as connection:
        write(connection, images, "a")
    return Archive(database)


def test_statistics_count_by_class_model_and_time(archive):
    seen = archive.statistics(Span(1000, 9000), step_ms=1000)

    assert (seen["images"], seen["objects"], seen["mean_elapsed_ms"]) == (3, 4, 20.0)
    assert seen["classes"] == [
        {"label": "bolt", "objects": 3, "images": 2, "mean_score": pytest.approx(0.7)},
        {"label": "nut", "objects": 1, "images": 1, "mean_score": pytest.approx(0.9)},
    ]
    assert [(one["model_version"], one["images"]) for one in seen["models"]] == [("v2", 1), ("v1", 2)]
    assert [(one["start_ms"], one["images"], one["objects"]) for one in seen["series"]] == [(1000, 2, 3), (2000, 1, 1)]


def test_statistics_of_a_class_or_a_model_alone(archive):
    seen = archive.statistics(Span(1000, 9001), step_ms=1000, label="nut")
    assert (seen["images"], seen["objects"], seen["mean_elapsed_ms"]) == (2, 2, 10.0)
    assert [(one["label"], one["objects"]) for one in seen["classes"]] == [("nut", 2)]
    assert [(one["model_version"], one["objects"]) for one in seen["models"]] == [("v2", 1), ("v1", 1)]
    assert [(one["start_ms"], one["images"]) for one in seen["series"]] == [(1000, 1), (9000, 1)]

    seen = archive.statistics(Span(1000, 9001), step_ms=1000, model_md5="2" * 32)
    assert (seen["images"], seen["objects"]) == (2, 2)
    assert [(one["label"], one["images"]) for one in seen["classes"]] == [("bolt", 1), ("nut", 1)]
    assert [one["start_ms"] for one in seen["series"]] == [2000, 9000]

    seen = archive.statistics(Span(1000, 9001), step_ms=1000, label="bolt", model_md5="1" * 32)
    assert (seen["images"], seen["objects"], [one["objects"] for one in seen["classes"]]) == (1, 2, [2])
    assert archive.statistics(Span(0, 9), step_ms=1, label="bolt", model_md5="1" * 32)["images"] == 0


def test_statistics_of_nothing_are_zero(archive):
    assert archive.statistics(Span(5000, 6000), 1000) == {
        "images": 0, "objects": 0, "mean_elapsed_ms": None, "classes": [], "models": [], "series": [],
    }  # fmt: skip


def test_pages_go_on_where_the_last_ended(archive):
    first = archive.detections(Span(0, 10_000), limit=3)
    rest = archive.detections(Span(0, 10_000), limit=3, before_id=first[-1]["id"])

    assert [row["at_ms"] for row in first + rest] == [9000, 2000, 1999, 1000]


def test_images_are_found_by_class_and_by_request(archive):
    assert [row["at_ms"] for row in archive.detections(Span(0, 9000), limit=9, label="nut")] == [1000]
    assert [row["at_ms"] for row in archive.detections(Span(0, 10_000), limit=9, request_id="r1999")] == [1999]


def test_a_span_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="since must be before until"):
        Span(5, 5)
