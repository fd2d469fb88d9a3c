"""One screen of where things stand."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from pindet.promotion.bench import open_bench
from pindet.promotion.promote import Wish, promote
from pindet.promotion.rollback import rollback
from pindet.promotion.status.state import find_state


def quiet(*_):
    pass


@pytest.fixture
def serve(project, free_port):
    """Starts a real server of the release file; returns its address."""
    processes = []

    def start():
        source = project.remote / "releases/detector/production.json"
        state = project.root.parent / "state"
        command = [
            sys.executable,
            "-m",
            "pindet_serve",
            f"--source={source}",
            f"--port={free_port}",
            f"--state={state}",
        ]
        log = (project.root.parent / "server.log").open("w")
        processes.append(subprocess.Popen([*command, "--threads=1"], stdout=log, stderr=log, env=os.environ))
        log.close()
        url = f"http://127.0.0.1:{free_port}"
        for _ in range(600):
            assert processes[0].poll() is None, (project.root.parent / "server.log").read_text()
            try:
                urllib.request.urlopen(f"{url}/health/ready", timeout=2).close()
                return url
            except OSError:
                time.sleep(0.1)
        return pytest.fail("the server does not get ready")

    yield start
    for process in processes:
        process.kill()
        process.wait(10)


def test_while_dvc_is_at_work_all_but_the_pipeline_is_known(project, monkeypatch):
    from dvc.lock import LockError

    def busy(*_):
        raise LockError("'reports/train' is busy")

    project.promote()
    with open_bench(project.root) as bench:
        monkeypatch.setattr(bench.objects.dvc, "status", busy)
        state = find_state(bench, [])
    assert [holding.version for holding in state.stages] == ["v1.0.0"] and not state.asked_pipeline
    assert [text for text in state.unknown if "another dvc command is at work in this project" in text]


def test_a_parameter_that_was_not_run_is_said_and_breaks_nothing(project):
    """DVC tells of a changed parameter in another form than of a changed file."""
    params = (project.root / "params.yaml").read_text()
    assert "train" not in json.loads(project.pindet("status", "--json"))["stale"]
    project.write("params.yaml", params.replace("lr: 0.01", "lr: 0.02"))
    assert "train" in json.loads(project.pindet("status", "--json"))["stale"]
    said = project.pindet("compare", "HEAD", "workspace")
    assert "workspace: not made with params.yaml:training as shown here; dvc repro runs it" in said


def test_a_server_that_serves_another_version_drifts(project, serve):
    with open_bench(project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        url = serve()
        state = find_state(bench, [url, "http://127.0.0.1:9"])
        assert (state.servers[0].version, state.servers[0].drift) == ("v1.0.0", "")
        assert not state.servers[1].is_reachable and state.servers[1].problem
        assert state.stages[0].version == "v1.0.0" == state.version and not state.drifts
        project.train(score=0.8)
        promote(bench, Wish(), quiet, quiet)
        drifting = find_state(bench, [url])
        assert drifting.servers[0].drift == "serves v1.0.0, production holds v1.1.0" and drifting.drifts
        assert drifting.stages[0].before == "v1.0.0"
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/model/reload", method="POST"), timeout=20).close()
        assert not find_state(bench, [url]).drifts
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/model/rollback", method="POST"), timeout=20).close()
        assert find_state(bench, [url]).servers[0].drift == (
            "serves v1.0.0, production holds v1.1.0: rolled back at the server; "
            "POST /v1/model/reload serves what is released"
        )
        rollback(bench, "production", quiet, quiet)
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/model/reload", method="POST"), timeout=20).close()
        assert find_state(bench, [url]).servers[0].version == "v1.0.0"


def test_the_command_says_what_is_out_of_line(project):
    assert "nothing yet; pindet promote" in project.pindet("status")
    project.promote()
    (project.remote / "releases/detector/production.json").unlink()
    project.write("src/model.py", "WIDTH = 3\n")
    said = json.loads(project.pindet("status", "--json", status=3))
    assert said["out_of_line"] == ["release file of production"] and said["uncommitted"] == ["src/model.py"]
    assert "train" in said["stale"]


def test_what_can_not_be_found_out_is_status_1_and_a_release_file_without_a_tag_drifts(project):
    with open_bench(project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        away = find_state(bench, ["http://127.0.0.1:9"])
    assert len(away.unknown) == 1 and "127.0.0.1:9" in away.unknown[0] and not away.drifts
    releases = project.remote / "releases"
    hidden = releases.rename(project.remote / "hidden")
    releases.write_text("no folder")  # what a remote that can not be read answers with: an error
    said = json.loads(project.pindet("status", "--json", status=1))
    assert "releases are in line" in said["unknown"][0] and not said["drifts"]
    releases.unlink()
    hidden.rename(releases)
    shutil.copy(releases / "detector/production.json", releases / "detector/staging.json")
    said = json.loads(project.pindet("status", "--json", status=3))
    assert said["untagged"] == ["staging"] and said["unknown"] == []
    assert "staging has a release file" in project.pindet("status", status=3)


def test_a_server_of_the_same_bundle_under_another_version_drifts(project, monkeypatch):
    with open_bench(project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        model = {"version": "v0.9.0", "md5": project.pinned(), "stage": "production"}
        monkeypatch.setattr("pindet_serve.client.Client.model", lambda _: model)
        assert find_state(bench, ["http://x"]).servers[0].drift == "serves v0.9.0, production holds v1.0.0"
        model |= {"version": "v1.0.0", "md5": "0" * 32 + ".dir"}
        assert "whose commit pins" in find_state(bench, ["http://x"]).servers[0].drift
        model |= {"md5": project.pinned()}
        assert not find_state(bench, ["http://x"]).drifts


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::sqlalchemy.exc.SADeprecationWarning")  # MLflow's own
def test_the_newest_training_is_shown_where_it_is_not_the_bundle_s(project):
    params = (project.root / "params.yaml").read_text()
    project.write("params.yaml", params.replace("enabled: false", "enabled: true\n  experiment: parts"))
    with open_bench(project.root) as bench:
        client = bench.registry._client
        experiment = client.create_experiment("parts")
        own = client.create_run(experiment, run_name="own", tags={"pindet.bundle_md5": project.pinned()}, start_time=1)
        state = find_state(bench, [])
        assert state.run == f"{own.info.run_id} (own)" and state.newest_run == ""
        later = client.create_run(experiment, run_name="later", start_time=2)
        client.set_terminated(later.info.run_id, "FAILED")
        client.create_run(client.create_experiment("others"), run_name="of others", start_time=3)
        assert find_state(bench, []).newest_run == f"{later.info.run_id} (later), FAILED"


def test_outs_that_are_only_not_checked_out_are_not_stale(project):
    for folder in ("data", "models", "reports"):
        shutil.rmtree(project.root / folder)
    with open_bench(project.root) as bench:
        state = find_state(bench, [])
    assert state.stale == [] and "export" in state.absent and state.uncached == []


def test_outs_that_a_fresh_clone_lacks_are_pulled_and_not_made_again(project):
    assert "up to date" in project.pindet("status")
    for folder in ("data", "models", "reports", ".dvc/cache"):
        shutil.rmtree(project.root / folder)
    assert "not checked out: evaluate, export, prepare, train; dvc pull" in project.pindet("status")
    with open_bench(project.root) as bench:
        state = find_state(bench, [])
        assert state.stale == [] and state.uncached == state.absent
        project.write("models/weights.safetensors", "cut short")
    with open_bench(project.root) as bench:
        state = find_state(bench, [])
    assert state.stale == ["export", "train"] and state.absent == ["evaluate", "prepare"]
