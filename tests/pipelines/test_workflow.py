"""What users do with DVC: each way of running the stages, on a tiny project with real git, DVC and MLflow."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import psutil
import pytest
import redis
import yaml
from pindet_serve.status.redis_stream import STREAM

STAGES = ["prepare", "train", "evaluate", "export"]
NO_TRAINING = ["-S", "+experiment=tiny", "-S", "evaluation.gallery_images=2"]


def runs(project):
    """Every MLflow run of the project, newest first."""
    code = (
        "import json, mlflow\n"
        "from pindet.tracking.store import *\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "found = mlflow.search_runs(search_all_experiments=True, output_format='list')\n"
        "print('RUNS' + json.dumps([{'status': r.info.status, 'tags': r.data.tags, 'params': r.data.params,\n"
        "  'metrics': r.data.metrics} for r in found]))\n"
    )
    said = project.run("python", "-c", code)
    return json.loads(said.rpartition("RUNS")[2])


def changed_stages(said):
    return [stage for stage in STAGES if f"Running stage '{stage}'" in said]


def test_the_first_run_makes_everything_and_says_which_overrides_are_in_force(finished):
    for stage in STAGES:
        assert re.search(rf"{stage}: overrides in force: -S \+experiment=tiny", finished.said)
    made = ["metrics.json", "models/bundle/model.onnx", "reports/evaluate/report.html", "reports/train/history.csv"]
    for path in made:
        assert (finished.root / path).stat().st_size > 0
    summary = finished.run("pindet", "summary")
    assert "reports/evaluate/report.html" in summary
    assert "models/bundle" in summary


def test_a_second_run_has_nothing_to_do(finished):
    assert not list(finished.root.glob(".pindet/resume/*")), "the state of a training whose result is recorded"
    said = finished.dvc("repro")
    assert not changed_stages(said)
    assert "Data and pipelines are up to date" in said


def test_no_number_in_the_metrics_is_undefined(finished):
    text = (finished.root / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))
    assert metrics
    assert all(isinstance(value, int | float) for value in metrics.values())


def test_repro_never_composes_and_an_experiment_always_does_as_pindet_params(project):
    params = project.root / "params.yaml"
    edited = params.read_text(encoding="utf-8").replace("gallery_images: 12", "gallery_images: 3")
    params.write_text(edited, encoding="utf-8")
    assert changed_stages(project.dvc("repro", "evaluate", "--dry")) == ["evaluate"]
    assert project.params["evaluation"]["gallery_images"] == 3
    said = project.dvc("exp", "run", *NO_TRAINING)
    assert changed_stages(said) == ["evaluate"]  # the export depends on the numbers, and they are the same
    assert project.params["evaluation"]["gallery_images"] == 2
    by_dvc = (project.root / "params.yaml").read_bytes()
    project.run("pindet", "params", "+experiment=tiny", "evaluation.gallery_images=2")
    assert (project.root / "params.yaml").read_bytes() == by_dvc
    project.dvc("exp", "run", "-S", "+experiment=tiny")
    assert project.params["evaluation"]["gallery_images"] == 12


def test_check_says_the_overrides_and_save_keeps_them(project):
    project.run("pindet", "params")
    assert project.run("pindet", "params", "--check") == ""
    project.run("pindet", "params", "+experiment=tiny", "training.lr=0.1")
    said = project.run("pindet", "params", "--check", status=1)
    assert said.splitlines() == ["-S +experiment=tiny", "-S training.lr=0.1"]
    project.run("pindet", "params", "--save", "mine")
    assert project.run("pindet", "params", "--check", status=1).split() == ["-S", "+experiment=mine"]
    broken = project.params
    broken["training"]["shuffle"] = True
    (project.root / "params.yaml").write_text(yaml.safe_dump(broken), encoding="utf-8")
    assert "structure: training.shuffle (only in params.yaml)" in project.run("pindet", "params", "--check", status=2)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("evaluation.gallery_images", "many", r"evaluation\.gallery_images is 'many'"),
        ("evaluation.gallery_image", 3, r"unknown key 'gallery_image', did you mean 'gallery_images'"),
        ("evaluation.gallery_images", "???", r"evaluation\.gallery_images is '\?\?\?'"),
    ],
)
def test_a_wrong_key_is_named_by_the_stage_that_reads_it_and_costs_nothing(project, key, value, said):
    params = project.params
    group, _, name = key.partition(".")
    params[group][name] = value
    (project.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    found = project.dvc("repro", "evaluate", status=255)
    assert re.search(said, found) and "Traceback" not in found


def test_where_a_stage_runs_makes_no_stage_run_again(project):
    assert not changed_stages(project.dvc("exp", "run", "-S", "+experiment=tiny", "-S", "runtime.workers=1"))


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_uses_the_copys_code_and_the_projects_store(project):
    before = project.outs()
    said = project.dvc(
        "exp", "run", "--temp", "--name", "colder", "-S", "+experiment=tiny", "-S", "training.weight_decay=0.04"
    )
    assert changed_stages(said) == ["train", "evaluate", "export"]
    assert project.outs() == before
    assert len(runs(project)) == 2
    newest = runs(project)[0]
    assert newest["status"] == "FINISHED"
    assert newest["tags"]["dvc.exp"] == "colder"
    shown = json.loads(project.dvc("exp", "show", "--json"))
    assert "colder" in json.dumps(shown)
    project.dvc("exp", "apply", "colder")
    assert project.params["training"]["weight_decay"] == 0.04
    assert "Data and pipelines are up to date" in project.dvc("repro")
    difference = json.loads(project.dvc("metrics", "diff", "HEAD", "--all", "--json"))
    assert "test/map" in difference["metrics.json"]


@pytest.fixture
def status_bus(tmp_path, free_ports):
    """A Redis server's address."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait_until(lambda: answers(port))
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()


def answers(port):
    try:
        return redis.Redis(port=port).ping()
    except redis.ConnectionError:
        return False


def test_a_clone_in_another_place_gives_the_same_bytes(finished, tmp_path):
    folder = tmp_path / "another place"
    subprocess.run(["git", "clone", "--quiet", str(finished.root), str(folder)], check=True)
    clone = type(finished)(folder, tmp_path)
    assert changed_stages(clone.dvc("repro", "--force")) == STAGES
    assert clone.outs() == finished.outs()


@pytest.mark.slow
def test_forced_runs_in_two_places_give_the_same_bytes_whoever_watches(project, finished, status_bus):
    project.run("pindet", "params", "+experiment=tiny", "tracking=off")
    said = project.dvc("repro", "--force", REDIS_URL=status_bus)
    assert "tracking in run" in finished.said and "tracking in run" not in said
    assert project.outs() == finished.outs()
    told = [json.loads(fields[b"event"]) for _, fields in redis.Redis.from_url(status_bus).xrange(STREAM)]
    assert (told[0]["type"], told[-1]["type"]) == ("training.started", "training.finished")
    progress = [event["data"] for event in told if event["type"] == "training.progress" and "metrics" in event["data"]]
    assert [data["epoch"] for data in progress] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_queued_experiments_run_two_at_a_time_with_one_tracked_run_each(project):
    (project.root / "mlflow.db").unlink()
    project.dvc("exp", "run", "--queue", "-S", "+experiment=tiny", "-S", "training.weight_decay=choice(0.03,0.06)")
    project.dvc("queue", "start", "-j", "2")
    logs = project.dvc("queue", "logs", "-f", next(iter(queued(project))))
    wait_for_the_queue(project)
    assert [row["state"] for row in queue_status(project)] == ["Success", "Success"], logs
    found = runs(project)
    assert [run["status"] for run in found] == ["FINISHED"] * 2
    assert {run["params"]["training.weight_decay"] for run in found} == {"0.03", "0.06"}
    assert all("test/map" in run["metrics"] for run in found)


def queue_status(project):
    rows = [line.split() for line in project.dvc("queue", "status").splitlines()]
    return [{"name": row[1], "state": row[-1]} for row in rows if row and re.fullmatch("[0-9a-f]{7}", row[0])]


def queued(project):
    return [row["name"] for row in queue_status(project)]


def wait_for_the_queue(project):
    wait_until(lambda: all(row["state"] in ("Success", "Failed") for row in queue_status(project)), seconds=300)


def test_a_cached_stage_makes_no_tracked_run(project):
    before = len(runs(project))
    (project.root / "metrics.json").unlink()
    project.run("rm", "-rf", "models", "reports/evaluate")
    project.run("git", "checkout", "models")
    project.dvc("repro")
    assert len(runs(project)) == before


def test_metrics_and_plots_are_shown_and_compared_and_open_without_a_network(project):
    assert "test/map" in project.dvc("metrics", "show")
    project.run("pindet", "plots-page")
    for command in (["show"], ["diff", "HEAD"]):
        project.dvc("plots", *command, "-q")
        page = (project.root / "dvc_plots/index.html").read_text(encoding="utf-8")
        for title in ("Loss", "mAP on validation", "Confusion matrix", "Precision and recall by class", "Errors"):
            assert title in page
        assert "contact_sheet" in page
        drawn = page.rpartition("</head>")[2]
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?:", page)
        assert drawn.count("vegaEmbed(") >= 5


def test_every_plot_is_drawn_in_a_browser_without_a_network(project, chromium):
    project.run("pindet", "plots-page")
    project.dvc("plots", "show", "-q")
    page_file = project.root / "dvc_plots/index.html"
    charts = page_file.read_text(encoding="utf-8").rpartition("</head>")[2].count("vegaEmbed(")
    asked, said = [], []
    context = chromium.new_context(offline=True)
    context.set_default_timeout(120_000)  # the machine may be busy
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    page.wait_for_function("n => document.querySelectorAll('.vega-embed svg.marks').length >= n", arg=charts)
    marks = page.evaluate("[...document.querySelectorAll('svg.marks')].map(c => c.clientWidth * c.clientHeight)")
    pictures = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    context.close()
    assert charts >= 8 and all(size > 0 for size in marks)
    assert pictures and all(width > 0 for width in pictures)
    assert not said
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


@pytest.mark.slow
def test_another_model_goes_through_the_same_stages(project):
    said = project.dvc(
        "exp", "run", "-S", "+experiment=tiny", "-S", "model=pindet_s", "-S", "training.epochs=2",
        "-S", "model.image_height=96", "-S", "model.image_width=96",
    )  # fmt: skip
    assert changed_stages(said) == ["train", "evaluate", "export"]
    assert project.params["model"]["neck_channels"] == 96


def test_a_sweep_over_a_range_is_queued(project):
    said = project.dvc("exp", "run", "--queue", "-S", "+experiment=tiny", "-S", "evaluation.gallery_images=range(1,4)")
    assert said.count("Queued experiment") == 3
    project.dvc("queue", "remove", "--all")


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(project):
    project.run("pindet", "params", "+experiment=tiny", "training.weight_decay=0.02")
    killed = subprocess.Popen(
        ["dvc", "repro", "train"], cwd=project.root, env=project.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list(project.root.glob(".pindet/resume/*/epoch-*.ckpt")))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    said = project.dvc("repro", "train")
    assert "going on after epoch" in said
    resumed = project.outs()["models/weights.safetensors"]
    assert [run["status"] for run in runs(project)] == ["FINISHED"] * 2
    project.run("git", "checkout", "dvc.lock")  # as a kill leaves it that comes before DVC has recorded the outs
    said = project.dvc("repro", "--no-run-cache", "train")
    assert "going on after epoch 6 of 6" in said and "images/s" not in said, "what was trained was lost"
    assert project.outs()["models/weights.safetensors"] == resumed
    assert [run["status"] for run in runs(project)] == ["FINISHED"] * 2
    assert "epoch 6 of 6" in project.dvc("repro", "--force", "--single-item", "train"), "force trains anew"
    assert project.outs()["models/weights.safetensors"] == resumed
    project.dvc("repro")
    assert not list(project.root.glob(".pindet/resume/*"))


def test_what_a_killed_dvc_leaves_broken_is_put_right(project):
    rwlock = project.root / ".dvc/tmp/rwlock"
    rwlock.write_text("{}", encoding="utf-8")
    assert "broken" not in project.run("pindet", "unlock")
    assert rwlock.exists(), "what can be read stays"
    rwlock.write_text("", encoding="utf-8")
    assert "JSON structure is corrupted" in project.dvc("repro", status=255)
    assert ".dvc/tmp/rwlock was broken" in project.run("pindet", "unlock")
    assert "Data and pipelines are up to date" in project.dvc("repro")


@pytest.mark.slow
def test_what_changes_while_a_run_is_going_on_is_not_recorded_with_its_results(project):
    mine = ["pindet", "params", "+experiment=tiny", "training.weight_decay=0.02", "training.epochs=40"]
    project.run(*mine)
    before, neck = project.lock("train"), project.root / "src/pindet/models/neck.py"
    params, code = project.root / "params.yaml", neck.read_bytes()

    def change_all():
        assert "a stage is running in this folder" in project.run("pindet", "params", "training.lr=0.5", status=1)
        assert project.params["training"]["weight_decay"] == 0.02
        project.dvc("exp", "run", "-S", "+experiment=tiny", "-S", "training.weight_decay=0.07", status=255)
        neck.write_bytes(code + b"# later\n")

    said = disturbed_run(project, lambda: list(project.root.glob(".pindet/resume/*/epoch-*.ckpt")), change_all)
    assert "while train ran this changed: params.yaml:training.epochs 40 → 6, params.yaml:" in said
    assert "src/pindet/models/neck.py" in said
    assert project.lock("train") == before

    neck.write_bytes(code)
    project.run(*mine)
    begun = (project.root / ".pindet/run/dvc").read_text()
    later = params.read_text(encoding="utf-8").replace("gallery_images: 12", "gallery_images: 3")
    said = disturbed_run(
        project,
        lambda: (project.root / ".pindet/run/dvc").read_text() not in ("", begun),
        lambda: params.write_text(later, encoding="utf-8"),  # which the training does not read
    )
    assert "going on after epoch 40 of 40" in said  # what was trained is not lost
    assert changed_stages(said) == ["train", "evaluate"]
    assert "while the pipeline ran this changed: evaluation.gallery_images 12 → 3" in said
    assert project.lock("train")["params"]["params.yaml"]["training"]["weight_decay"] == 0.02
    assert list(project.root.glob(".pindet/resume/*/finished"))  # evaluate was refused before it removed that
    newest, *others = runs(project)
    assert newest["params"]["training.epochs"] == "40" and "val/map" in newest["metrics"]
    assert [run["status"] for run in (newest, *others)] == ["FINISHED"] * 2


def disturbed_run(project, moment, change):
    """Start `dvc repro`, change something at a moment, and return what the run said, which must fail."""
    with subprocess.Popen(
        ["dvc", "repro"], cwd=project.root, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    ) as running:  # fmt: skip
        wait_until(moment)
        change()
        said, _ = running.communicate(timeout=300)
    assert running.returncode
    return said


@pytest.mark.parametrize(
    ("override", "said"),
    [("model.neck_channels=7", "neck_channels is 7"), ("export.golden_images=0", "golden_images is 0")],
)
def test_a_value_that_only_a_later_stage_reads_is_judged_by_the_first(project, override, said):
    found = project.dvc("exp", "run", "-S", "+experiment=tiny", "-S", "seed=5", "-S", override, status=255)
    assert "Running stage 'prepare'" in found and "Running stage 'train'" not in found
    assert said in found


@pytest.fixture
def staying_shell(tmp_path):
    """A shell that waits for its command, as some do; others replace themselves by it."""
    shell = tmp_path / "sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n', encoding="utf-8")
    shell.chmod(0o755)
    return shell


@pytest.mark.slow
def test_a_stage_does_not_outlive_its_dvc(project, staying_shell):
    project.run("pindet", "params", "+experiment=tiny", "training.weight_decay=0.02", "training.epochs=600")
    started = subprocess.Popen(
        ["dvc", "repro", "train"], cwd=project.root, env=project.environment | {"SHELL": str(staying_shell)},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: list(project.root.glob(".pindet/resume/*/epoch-*.ckpt")))
    assert len(members(started.pid)) >= 3  # dvc, the shell, the stage
    started.kill()
    started.wait()
    wait_until(lambda: not members(started.pid), seconds=60)
    assert not (project.root / "models/weights.safetensors").exists()


def members(session):
    """The living processes of a session, zombies left out."""
    return [
        process
        for process in psutil.process_iter(["status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE and session_of(process.pid) == session
    ]


def session_of(pid):
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def wait_until(happened, seconds=120):
    for _ in range(seconds * 10):
        if happened():
            return
        time.sleep(0.1)
    pytest.fail(f"it did not happen within {seconds} s")
