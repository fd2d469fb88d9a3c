import math

import pytest
from pindet_serve.status.event import Event, decode, encode_body, format_position, parse_position, with_id


def test_text_with_id_is_the_event():
    body = encode_body("model.loaded", 12.5, "a", {"name": "人 \"x\""})

    event = decode(with_id("7-1", body))

    assert event == Event("7-1", "model.loaded", 12.5, "a", {"name": "人 \"x\""})
    assert decode(event.text()) == event


@pytest.mark.parametrize(
    ("type", "data", "reason"),
    [
        ("modle.loaded", {}, "allowed are heartbeat, model"),
        ("model", {"map": math.nan}, "JSON"),
        ("model", {"path": object()}, "the data of model is no JSON"),
        ("Model", {}, "allowed are"),
        ("model.a b", {}, "allowed are"),
        ("model", {"log": "x" * 70_000}, "at most 65536 are allowed"),
    ],
)
def test_events_that_cannot_be_told_are_refused(type, data, reason):
    with pytest.raises(ValueError, match=reason):
        encode_body(type, 0.0, "a", data)


@pytest.mark.parametrize("position", [(0, 0, 0), (1700000000000, 3, 0), (1700000000000, 0, 12)])
def test_an_id_names_its_position(position):
    assert parse_position(format_position(position)) == position


@pytest.mark.parametrize("id", ["", "7", "7-", "-1-2", "a-b", "1-2-3-4", "9" * 16 + "-0", "1-2\n", "٣-1"])
def test_other_text_names_no_position(id):
    assert parse_position(id) is None
