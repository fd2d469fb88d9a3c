"""What a client gets first: the last of everything, and of trainings the way there."""

from pindet_serve.status.event import Event
from pindet_serve.status.snapshot import MOST_CURVES, MOST_METRICS, MOST_POINTS, Snapshot


def progress(run="r1", number=0, **data):
    return Event(f"{number}-0", "training.progress", 1e9 + number, "trainer", {"run": run, **data})


def states(snapshot):
    return snapshot.data({}, reset=False)["states"]


def test_a_training_comes_with_its_curve():
    snapshot = Snapshot()
    for epoch in range(1, 51):
        snapshot.add(progress(number=2 * epoch, epoch=epoch, metrics={"train/loss": 1 / epoch}))
        snapshot.add(progress(number=2 * epoch + 1, epoch=epoch, step=3))
    snapshot.add(progress(number=200, epoch=50, metrics={"val/map": 0.5}))
    (state,) = states(snapshot)
    assert state["data"] == {"run": "r1", "epoch": 50, "metrics": {"val/map": 0.5}}
    assert [epoch for epoch, _ in state["curve"]] == list(range(1, 51))
    assert state["curve"][-1] == (50, {"train/loss": 1 / 50, "val/map": 0.5})


def test_a_finished_training_keeps_its_curve_and_others_have_none():
    snapshot = Snapshot()
    snapshot.add(progress(epoch=1, metrics={"train/loss": 2.0}))
    snapshot.add(Event("9-0", "training.finished", 1e9, "trainer", {"run": "r1"}))
    snapshot.add(Event("10-0", "training.started", 1e9, "trainer", {"run": "r2", "epochs": 3}))
    finished, started = states(snapshot)
    assert (finished["type"], finished["curve"]) == ("training.finished", [(1, {"train/loss": 2.0})])
    assert "curve" not in started


def test_what_a_training_is_called_and_how_far_it_came_holds_to_its_end():
    snapshot = Snapshot()
    about = {"run": "r1", "name": "night-shift", "epochs": 9}
    snapshot.add(Event("1-0", "training.started", 1e9, "trainer", about))
    snapshot.add(progress(number=2, epoch=5, images_per_second=3.0))
    snapshot.add(Event("3-0", "training.failed", 1e9, "trainer", {"run": "r1", "error": "no room"}))
    (state,) = states(snapshot)
    assert state["data"] == {**about, "epoch": 5, "error": "no room"}

    snapshot.add(Event("4-0", "training.started", 1e9, "trainer", about))
    (state,) = states(snapshot)
    assert state["data"] == about, "it begins anew"


def test_curves_are_bounded_however_many_points_runs_and_metrics_there_are():
    snapshot = Snapshot()
    for run in range(MOST_CURVES + 3):
        for epoch in range(3 * MOST_POINTS):
            snapshot.add(progress(f"r{run}", epoch, epoch=epoch, metrics={"train/loss": float(epoch)}))
    curves = [state["curve"] for state in states(snapshot) if "curve" in state]
    assert len(curves) == MOST_CURVES
    for curve in curves:
        assert MOST_POINTS / 2 <= len(curve) <= MOST_POINTS
        assert (curve[0][0], curve[-1][0]) == (0, 3 * MOST_POINTS - 1)
    snapshot.add(progress("wide", epoch=0, metrics={f"m{n}": n for n in range(99)}))
    assert len(states(snapshot)[-1]["curve"][0][1]) == MOST_METRICS


def test_what_is_no_point_is_left_out():
    snapshot = Snapshot()
    for data in ({"epoch": "1", "metrics": {"a": 1}}, {"epoch": True, "metrics": {"a": 1}}, {"epoch": 1, "metrics": 3}):
        snapshot.add(progress(**data))
    snapshot.add(progress(epoch=2, metrics={"a": "high", "b": None, "c": 0.5}))
    (state,) = states(snapshot)
    assert state["curve"] == [(2, {"c": 0.5})]
