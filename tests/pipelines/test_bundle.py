"""The bundle that the pipeline makes, held to what a bundle promises."""

import getpass
import json
import re
import socket
import sys

import numpy as np
import onnx
import pytest
from pindet_serve.detector import Detector
from pindet_serve.golden import load_proven

from pindet.data.prepared import PreparedSplit


@pytest.fixture
def bundle(finished):
    return finished.root / "models/bundle"


def test_it_proves_itself(bundle, finished):
    assert load_proven(bundle).manifest.data_md5 == finished.outs()["data/prepared"]


def test_it_holds_no_path_user_host_or_time(bundle, finished):
    model = (bundle / "model.onnx").read_bytes()
    words = [str(finished.root), sys.prefix, "/tmp", "site-packages"]
    # A name of two or three letters is in any file of this size.
    words += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 4]
    assert not [word for word in words if word.encode() in model]
    loaded = onnx.load_from_string(model)
    for weights in loaded.graph.initializer:
        weights.ClearField("raw_data")  # among millions of random bytes are three letters, too
    assert b".py" not in loaded.SerializeToString()
    assert not re.search(rb"20[2-9][0-9]-[01][0-9]-", model)
    assert not re.search(r"20[2-9][0-9]-", json.dumps(json.loads((bundle / "manifest.json").read_text("utf-8"))))


@pytest.mark.parametrize("batch", [2, 3, 7, 16])
def test_an_image_gets_the_same_answer_in_any_batch(bundle, finished, batch):
    test = PreparedSplit(finished.root / "data/prepared", "test")
    images = [test.image(i % len(test)) for i in range(batch)]
    detector = Detector(bundle)
    together = detector.detect(images, score_threshold=0)
    alone = [detector.detect([image], score_threshold=0)[0] for image in images]
    for one, other in zip(together, alone, strict=True):
        assert len(one) == len(other) > 0
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_array_equal(one.labels, other.labels)
