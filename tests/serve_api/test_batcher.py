"""The batcher is greedy, bounded, never runs what nobody waits for, and lets one bad image fail alone."""

import gc
import math
import threading
import time
import weakref
from concurrent.futures import CancelledError

import numpy as np
import pytest
from pindet_serve.serving.batcher import Batcher, Expired, QueueFull

FAR = math.inf


class Slow:
    """Stands for a model: waits for a gate, remembers its batches, and fails on a canvas that holds 255."""

    def __init__(self, streams=1):
        self.streams = streams
        self.batches = []
        self.gate = threading.Event()
        self.threads = set()

    def infer(self, canvases, *, alone=True):
        del alone
        self.gate.wait(10)
        self.threads.add(threading.get_ident())
        self.batches.append([int(canvas[0]) for canvas in canvases])
        if any(canvas[0] == 255 for canvas in canvases):
            raise RuntimeError("bad image")
        return [(canvas, canvas, canvas) for canvas in canvases]


def unheard(*_):
    pass


def batching(**options):
    return Batcher(**({"streams": 2, "max_batch": 4, "max_wait_s": 0, "capacity": 8, "observe": unheard} | options))


def canvas(value):
    return np.array([value], np.uint8)


@pytest.fixture
def model():
    return Slow()


@pytest.fixture
def batcher():
    made = batching()
    made.start()
    yield made
    made.stop()


def held(batcher, model):
    """Occupy the inference thread with image 0, so that what follows waits."""
    first = batcher.submit(model, canvas(0), FAR)
    while batcher._waiting:
        time.sleep(0.001)
    return first


def test_what_waits_is_run_together_and_by_one_thread_at_a_time(batcher, model):
    first = held(batcher, model)
    answers = [batcher.submit(model, canvas(value), FAR) for value in range(1, 7)]
    model.gate.set()
    assert [int(answer.result(5).raw[0][0]) for answer in answers] == [1, 2, 3, 4, 5, 6]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert [answer.result().batch for answer in (first, *answers)] == [1, 4, 4, 4, 4, 2, 2]
    assert threading.get_ident() not in model.threads


def until(holds):
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


class Gated:
    """Stands for a model with streams: each image waits for a gate of its own."""

    def __init__(self, streams):
        self.streams, self.gates, self.running = streams, [threading.Event() for _ in range(8)], []
        self.alone = {}

    def infer(self, canvases, *, alone):
        (number,) = (int(canvas[0]) for canvas in canvases)
        self.alone[number] = alone
        self.running.append(number)
        self.gates[number].wait(10)
        return [(canvas, canvas, canvas) for canvas in canvases]


def test_an_image_is_alone_when_no_other_is_run_or_made_or_waits():
    batcher, model, made = batching(streams=2), Gated(2), threading.Event()

    def make():
        made.wait(10)
        return canvas(2)

    batcher.start()
    for gate in model.gates:
        gate.set()
    batcher.submit(model, canvas(0), FAR).result(5)
    being_made = batcher.submit(model, make, FAR)
    until(lambda: not batcher._waiting)
    batcher.submit(model, canvas(1), FAR).result(5)
    until(lambda: batcher._running == 1)
    made.set()
    being_made.result(5)
    batcher.stop()
    assert model.alone == {0: True, 1: False, 2: True}


def test_each_stream_takes_the_next_image_when_it_is_free():
    batcher, model = batching(streams=3), Gated(2)
    batcher.start()
    answers = [batcher.submit(model, canvas(value), FAR) for value in range(5)]
    until(lambda: sorted(model.running) == [0, 1])
    time.sleep(0.05)
    assert sorted(model.running) == [0, 1]  # the third thread has no stream
    model.gates[1].set()
    assert answers[1].result(5).batch == 1
    until(lambda: model.running[2:] == [2])
    assert not answers[0].done()
    for gate in model.gates:
        gate.set()
    assert [int(answer.result(5).raw[0][0]) for answer in answers] == [0, 1, 2, 3, 4]
    batcher.stop()
    assert not batcher.alive


def test_streams_that_wait_end_when_it_stops():
    batcher, model = batching(streams=3), Gated(2)
    batcher.start()
    answers = [batcher.submit(model, canvas(value), FAR) for value in range(3)]
    until(lambda: len(model.running) == 2)
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    for gate in model.gates:
        gate.set()
    stopping.join(5)
    assert all(answer.done() for answer in answers)
    assert not any(thread.is_alive() for thread in batcher._threads)


def test_nothing_waits_for_company_by_default(batcher, model):
    model.gate.set()
    assert batcher.submit(model, canvas(1), FAR).result(5).queue_s < 0.2


def test_waiting_for_company_can_be_asked_for(model):
    batcher = batching(max_batch=2, max_wait_s=5)
    batcher.start()
    model.gate.set()
    first = batcher.submit(model, canvas(1), FAR)
    time.sleep(0.05)
    assert not first.done()
    batcher.submit(model, canvas(2), FAR)
    assert first.result(2).batch == 2
    batcher.stop()


def test_expired_and_cancelled_images_never_run(batcher, model):
    held(batcher, model)
    expired = batcher.submit(model, canvas(1), time.monotonic() - 1)
    cancelled = batcher.submit(model, canvas(2), FAR)
    wanted = batcher.submit(model, canvas(3), FAR)
    assert cancelled.cancel()
    model.gate.set()
    assert wanted.result(5).batch == 1
    with pytest.raises(Expired):
        expired.result(5)
    with pytest.raises(CancelledError):
        cancelled.result(5)
    assert model.batches == [[0], [3]]


def test_one_bad_image_fails_alone(batcher, model):
    held(batcher, model)
    answers = [batcher.submit(model, canvas(value), FAR) for value in (1, 255, 3)]
    model.gate.set()
    assert int(answers[0].result(5).raw[0][0]) == 1
    assert int(answers[2].result(5).raw[0][0]) == 3
    with pytest.raises(RuntimeError, match="bad image"):
        answers[1].result(5)
    assert batcher.alive


def test_an_image_is_made_when_it_is_to_run_and_only_then(batcher, model):
    held(batcher, model)
    made = []

    def prepare(value):
        made.append((value, threading.get_ident()))
        return canvas(value)

    expired = batcher.submit(model, lambda: prepare(1), time.monotonic() - 1)
    cancelled = batcher.submit(model, lambda: prepare(2), FAR)
    wanted = batcher.submit(model, lambda: prepare(3), FAR)
    assert cancelled.cancel()
    assert made == []
    model.gate.set()
    assert int(wanted.result(5).raw[0][0]) == 3
    with pytest.raises(Expired):
        expired.result(5)
    assert [value for value, _ in made] == [3]
    assert made[0][1] in model.threads, "it went from one thread to another"


def test_an_image_that_lapses_while_it_is_made_does_not_run(batcher):
    model = Slow(streams=2)
    model.gate.set()
    making, go_on = threading.Event(), threading.Event()

    def prepare(value):
        making.set()
        go_on.wait(5)
        return canvas(value)

    cancelled = batcher.submit(model, lambda: prepare(1), FAR)
    late = batcher.submit(model, lambda: prepare(2), time.monotonic() + 0.4)
    assert making.wait(5)
    assert cancelled.cancel()
    time.sleep(0.5)
    go_on.set()
    with pytest.raises(Expired):
        late.result(5)
    assert batcher.submit(model, canvas(3), FAR).result(5).batch == 1
    assert model.batches == [[3]]


def test_what_can_not_be_made_leaves_no_circle_of_references(batcher, model):
    model.gate.set()
    held = Held()
    known = weakref.ref(held)
    gc.disable()
    try:
        answer = batcher.submit(model, held.fail, FAR)
        with pytest.raises(ValueError, match="no image"):
            answer.result(5)
        del answer, held
        batcher.submit(model, canvas(1), FAR).result(5)  # the thread has left what it did before
        assert known() is None
    finally:
        gc.enable()


class Held:
    """Stands for the bytes of an image."""

    def fail(self):
        raise ValueError("no image")


@pytest.mark.parametrize("streams", [1, 2])
def test_an_image_that_can_not_be_made_fails_alone(batcher, streams):
    model = Slow(streams)
    held(batcher, model)

    def broken():
        raise ValueError("no image")

    answers = [batcher.submit(model, one, FAR) for one in (lambda: canvas(1), broken, canvas(3), broken)]
    model.gate.set()
    for good, value in ((answers[0], 1), (answers[2], 3)):
        assert int(good.result(5).raw[0][0]) == value
    for bad in (answers[1], answers[3]):
        with pytest.raises(ValueError, match="no image"):
            bad.result(5)
    assert int(batcher.submit(model, canvas(4), FAR).result(5).raw[0][0]) == 4
    assert batcher.alive


def test_images_of_two_models_are_never_mixed(batcher, model):
    held(batcher, model)
    other = Slow()
    other.gate.set()
    answers = [batcher.submit(each, canvas(1), FAR) for each in (model, model, other, model)]
    model.gate.set()
    assert [answer.result(5).batch for answer in answers] == [2, 2, 1, 1]


def test_the_queue_is_bounded_in_images(batcher):
    with batcher.admission(6):
        with pytest.raises(QueueFull) as full, batcher.admission(3):
            pass
        assert full.value.retry_after_s >= 1
        with batcher.admission(2):
            with pytest.raises(QueueFull):
                batcher.check_room()
            assert batcher.admitted == 8
    assert batcher.admitted == 0
    batcher.check_room()


def test_it_lets_go_of_a_model_that_it_ran(batcher):
    model = Slow()
    model.gate.set()
    seen = weakref.ref(model)
    batcher.submit(model, canvas(1), FAR).result(5)
    del model
    until = time.monotonic() + 5
    while seen() is not None:
        assert time.monotonic() < until, "the batcher still holds it"
        time.sleep(0.01)


def test_what_would_wait_too_long_is_not_admitted():
    batcher = batching(max_batch=1, capacity=100, patience_s=1)
    with batcher.admission(10):
        batcher.check_room()
        with batcher.admission(11), pytest.raises(QueueFull):  # 21 images of 50 ms, as is assumed before the first
            batcher.check_room()


def test_what_waits_when_it_stops_is_answered(model):
    batcher = batching(max_batch=1)
    batcher.start()
    held(batcher, model)
    waiting = batcher.submit(model, canvas(1), FAR)
    model.gate.set()
    batcher.stop()
    assert waiting.done()
    with pytest.raises(RuntimeError, match="stopped"):
        batcher.submit(model, canvas(1), FAR)


def test_it_counts_what_it_ran(model):
    seen = []
    batcher = batching(observe=lambda images, _: seen.append(images))
    batcher.start()
    held(batcher, model)
    answers = [batcher.submit(model, canvas(1), FAR) for _ in range(3)]
    model.gate.set()
    for answer in answers:
        answer.result(5)
    batcher.stop()
    assert seen == [1, 3]
