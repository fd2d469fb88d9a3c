"""``operating_point.json`` is read as it was written, or refused with its key and value."""

import pytest

from pindet.export.operating import OperatingPoint, read_operating_point
from pindet.models.postprocess import Postprocess

GOOD = '{"score_threshold": 0.3, "nms_iou_threshold": 0.6, "max_detections": 100}'


def test_it_is_read(tmp_path):
    (tmp_path / "o.json").write_text(GOOD)
    point = read_operating_point(tmp_path / "o.json")
    assert point == OperatingPoint(score_threshold=0.3, nms_iou_threshold=0.6, max_detections=100)
    assert point.postprocess() == Postprocess(nms_iou_threshold=0.6, max_detections=100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("0.3", "3"), "score_threshold is 3"),
        (GOOD.replace("0.6", "0"), "nms_iou_threshold is 0"),
        (GOOD.replace("100", "0"), "max_detections is 0"),
        (GOOD.replace("100", '"100"'), "max_detections is '100'"),
        (GOOD.replace("0.3", '0.3, "more": 1'), "more is 1"),
        ('{"score_threshold": 0.3, "nms_iou_threshold": 0.6}', "max_detections"),
        ("{", "invalid json"),
    ],
)
def test_anything_else_is_refused(tmp_path, text, message):
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_operating_point(tmp_path / "o.json")


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match="dvc repro evaluate"):
        read_operating_point(tmp_path / "o.json")
