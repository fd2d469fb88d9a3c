import copy
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from pindet.compose import compose_into
from pindet.params import ParamsError, check_params
from pindet.summary import NothingToSummarizeError, outdated, reproduced, show_summary

ROOT = Path(__file__).parents[1]


def pindet(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", "from pindet.cli import main; main()", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_the_command_starts_without_what_it_may_not_need():
    heavy = ["torch", "mlflow", "lightning", "dvc", "cv2", "onnxruntime", "matplotlib"]
    code = f"import sys, pindet.cli; loaded = [m for m in {heavy} if m in sys.modules]; sys.exit(loaded or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["params"], "config.yaml is missing"),
        (["params", "--check", "--save", "x"], "exclude one another"),
        (["params", "--force"], "goes with --save"),
        (["params", "--json"], "goes with --check"),
        (["summary"], "metrics.json is missing: the pipeline has not run to its end; run `make repro`"),
    ],
)
def test_an_error_is_one_line_and_not_a_traceback(tmp_path, arguments, said):
    done = pindet(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_summary_shows_each_class_and_a_dash_for_what_is_undefined(tmp_path):
    (tmp_path / "models/bundle").mkdir(parents=True)
    (tmp_path / "models/bundle/manifest.json").write_text(json.dumps({"classes": ["nut", "人"]}), encoding="utf-8")
    metrics = {"test/map": 0.5, "test/map_50": 0.75, "test/map/nut": 0.5, "test/map_50/nut": 0.75}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    console = Console(record=True, width=40, file=io.StringIO())  # narrower than the paths and commands
    show_summary(console, tmp_path)
    text = console.export_text()
    assert [line.split() for line in text.splitlines() if "人" in line] == [["│", "人", "│", "–", "│", "–", "│"]]
    assert "0.500" in text
    assert "reports/evaluate/report.html" in text
    predict = "pindet predict models/bundle/golden --format image --out output"
    for command in ("make ui", predict, "dvc exp run -S training.epochs=40"):
        assert text.count(command) == 1


def test_the_summary_is_json_for_scripts(tmp_path):
    (tmp_path / "models/bundle").mkdir(parents=True)
    done = pindet("summary", "--json", cwd=tmp_path)
    assert done.returncode == 1 and "metrics.json is missing" in json.loads(done.stdout)["error"]
    (tmp_path / "models/bundle/manifest.json").write_text(json.dumps({"classes": ["nut"]}))
    (tmp_path / "metrics.json").write_text(json.dumps({"test/map": 0.5}))
    said = json.loads(pindet("summary", "--json", cwd=tmp_path).stdout)
    assert said == {
        "metrics": {"test/map": 0.5}, "classes": ["nut"], "report": "reports/evaluate/report.html",
        "bundle": "models/bundle", "reproduced": None, "outdated": [],
    }  # fmt: skip


def test_the_overrides_in_force_are_json_for_scripts(tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    compose_into(tmp_path / "params.yaml", tmp_path / "conf", ["training.lr=0.5"])
    done = pindet("params", "--check", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"overrides": ["training.lr=0.5"], "structure": [], "exit_code": 1}
    (tmp_path / "params.yaml").write_text("[]")
    done = pindet("params", "--check", "--json", cwd=tmp_path)
    assert done.returncode == json.loads(done.stdout)["exit_code"] == 2 and "error" in json.loads(done.stdout)


@pytest.fixture
def reproduction(tmp_path):
    """A committed ``dvc.lock``; returns what to change in the one in the folder, and what is said of it then."""
    outs = {"prepare": ["data/prepared"], "train": ["models/weights.safetensors", "reports/train"]}
    deps = {"prepare": [{"path": "src", "md5": "s"}], "train": [{"path": "data/prepared", "md5": "data/prepared"}]}
    stages = {
        name: {"cmd": name, "deps": deps[name], "params": {"params.yaml": {"seed": 0}}, "outs": made}
        for name, made in ((name, [{"path": path, "md5": path} for path in paths]) for name, paths in outs.items())
    }
    lock = tmp_path / "dvc.lock"

    def said(change):
        changed = copy.deepcopy(stages)
        change(changed)
        lock.write_text(yaml.safe_dump({"stages": changed}), encoding="utf-8")
        return reproduced(tmp_path)

    assert said(lambda _: None) is None  # in no repository
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *command]
        subprocess.run(git, cwd=tmp_path, check=True)
    return said


def test_the_summary_says_whether_the_committed_results_came_out_again(reproduction):
    assert reproduction(lambda _: None) == "dvc.lock: all 3 results are byte for byte those of the last commit"

    def other_weights(stages):
        stages["train"]["outs"][0]["md5"] = "x"

    found = reproduction(other_weights)
    assert found.startswith("dvc.lock: 2 of 3 results are byte for byte those of the last commit; not the same: models")

    def other_data(stages):
        stages["prepare"]["outs"][0]["md5"] = stages["train"]["deps"][0]["md5"] = "y"

    assert reproduction(other_data).startswith("dvc.lock: 2 of 3 results")
    # Of other parameters or code other results are no news.
    assert reproduction(lambda stages: stages["train"].update(params={"params.yaml": {"seed": 1}})) is None
    assert reproduction(lambda stages: stages["prepare"]["deps"][0].update(md5="t")) is None
    assert reproduction(lambda stages: stages.pop("train")) is None


def test_a_summary_of_other_parameters_or_without_its_files_says_so(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 1\ndata: {root: raw}\n", encoding="utf-8")
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    stage = {"cmd": "x", "params": {"params.yaml": {"seed": 1, "data": {"root": "raw"}}}}

    def said(**changes):
        stages = {"train": stage | {"outs": [{"path": "metrics.json", "md5": "x"}]} | changes}
        (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
        return list(outdated(tmp_path))

    assert said() == []
    (missing,) = said(outs=[{"path": "models/weights.safetensors", "md5": "x"}])
    assert missing.startswith("not here: models/weights.safetensors; `dvc checkout`")
    (other,) = said(params={"params.yaml": {"seed": 2, "data": {"root": "raw"}}})
    assert other.startswith("of other parameters: seed of params.yaml changed since; `dvc repro`")
    (tmp_path / "dvc.lock").unlink()
    assert list(outdated(tmp_path)) == []


def test_a_summary_of_nothing_says_what_to_run(tmp_path):
    with pytest.raises(NothingToSummarizeError, match="make repro"):
        show_summary(Console(), tmp_path)


@pytest.fixture
def folder(tmp_path):
    """A folder with this project's configuration."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "src/pindet/data/parts").mkdir(parents=True)
    assert pindet("params", cwd=tmp_path).returncode == 0
    return tmp_path


def test_the_check_says_what_is_wrong_and_what_to_do(folder):
    params = folder / "params.yaml"
    assert pindet("params", "--check", cwd=folder).returncode == 0
    params.write_text(params.read_text(encoding="utf-8").replace("seed: 0", "seed: [0"), encoding="utf-8")
    done = pindet("params", "--check", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("pindet: params.yaml cannot be read: ")
    assert "compose it anew with `pindet params`" in done.stderr
    assert "Traceback" not in done.stderr

    done = pindet("params", "data=voc", "data.root=nowhere", cwd=folder)
    assert done.returncode == 0
    assert "data.root is 'nowhere', which does not exist; give the folder" in done.stderr
    done = pindet("params", "--check", cwd=folder)
    assert (done.returncode, done.stdout.splitlines()) == (1, ["-S data=voc", "-S data.root=nowhere"])
    assert "data.root is 'nowhere'" in done.stderr


def test_parameters_that_no_stage_would_take_are_not_composed(folder):
    before = (folder / "params.yaml").read_bytes()
    done = pindet("params", "+training.shuffle=true", cwd=folder)
    assert done.returncode == 1
    assert "training has the unknown key 'shuffle'; allowed are" in done.stderr
    for override, said in (
        ("training.epochs=0", "training: training.epochs is 0; at least 1 is allowed"),
        ("evaluation.iou_threshold=0.05", "it must exceed 0.1"),
        ("data.image_width=64", "data: data.image_width"),
        ("export._target_=pindet.nothing.X", "which does not import"),
        ("+foo=1", "has the unknown key 'foo'"),
        ("training.lr=fast", "training.lr is 'fast': input should be a valid number"),
    ):
        with pytest.raises(ParamsError) as refused:  # in this process: each start of the command takes seconds
            compose_into(folder / "params.yaml", folder / "conf", [override], accept=check_params)
        assert said in str(refused.value) and "tmp-" not in str(refused.value)
    assert (folder / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["conf", "params.yaml", "src"]


def test_the_next_command_gives_the_overrides_in_force_again(folder, monkeypatch):
    (folder / "models/bundle").mkdir(parents=True)
    (folder / "models/bundle/manifest.json").write_text(json.dumps({"classes": ["nut"]}), encoding="utf-8")
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    assert pindet("params", "training.lr=0.01", "training.epochs=3", cwd=folder).returncode == 0
    monkeypatch.setenv("COLUMNS", "120")
    assert "dvc exp run -S training.lr=0.01 -S training.epochs=40" in pindet("summary", cwd=folder).stdout
