import shlex

import pytest
import yaml

from pindet.compose import Differences, compose, compose_into, differences
from pindet.experiment import save_experiment
from pindet.params import ParamsError

FILES = {
    "config.yaml": "defaults: [_self_, {data: parts}, {training: default}]\nseed: 0\n",
    "data/parts.yaml": "_target_: a.Parts\nroot: src/parts\n",
    "data/voc.yaml": "_target_: a.Voc\nroot: raw\nclasses: null\n",
    "data/voc_strict.yaml": "_target_: a.Voc\nroot: raw\nclasses: [a, b]\n",
    "training/default.yaml": "_target_: a.Training\nlr: 0.002\nepochs: 10\nflip: true\n",
    "experiment/bccd.yaml": "# @package _global_\ndefaults: [{override /data: voc}]\ndata: {root: bccd}\n",
}


@pytest.fixture
def conf(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "conf"


def explain(conf, *overrides):
    return differences(compose(conf, list(overrides)), conf)


def test_the_same_is_no_difference(conf):
    assert explain(conf) == Differences()
    assert explain(conf).exit_code == 0


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=3"],
        ["training.lr=0.1"],
        ["training.lr=1e-05"],
        ["training.flip=false"],
        ["data=voc"],
        ["data=voc_strict"],
        ["+experiment=bccd"],
        ["+experiment=bccd", r"""data.root="/mnt/x y/人's \"new\" C:\d\\" """.strip()],
        ["data=voc", "data.classes=['no','1e3','人',on]"],
        ["data=voc", "data.classes=[]", "data.root=''"],
        ["data=voc", "data.root='null'", "training.epochs=4"],
        ["data=voc", "data.root='a,b:c'"],
    ],
)
def test_overrides_are_said_so_that_they_can_be_given_again(conf, overrides):
    found = explain(conf, *overrides)
    assert found.exit_code == 1
    assert len(found.overrides) == len(overrides)
    assert compose(conf, found.overrides) == compose(conf, overrides)


def test_a_key_that_no_override_explains_is_a_structure(conf):
    params = compose(conf, [])
    params["training"]["shuffle"] = True
    del params["seed"]
    found = differences(params, conf)
    assert found.exit_code == 2
    assert found.structure == ["training.shuffle (only in params.yaml)", "seed (only in conf/)"]


def test_an_override_that_hydra_refuses_leaves_the_file_alone(conf, tmp_path):
    params = tmp_path / "params.yaml"
    compose_into(params, conf, [])
    before = params.read_bytes()
    with pytest.raises(ParamsError, match="trainingg"):
        compose_into(params, conf, ["trainingg.lr=1"])
    assert params.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"conf", "params.yaml"}


def test_a_key_that_is_not_there_is_not_advised_to_be_added(conf):
    with pytest.raises(ParamsError, match=r"no key 'training\.epoch', did you mean 'training\.epochs'\?") as raised:
        compose(conf, ["training.epoch=3"])
    assert "+training" not in str(raised.value)
    with pytest.raises(ParamsError, match=r"no key 'data\.clases', did you mean 'data\.classes'\?"):
        compose(conf, ["data=voc", "data.clases=[a]"])


def test_a_missing_conf_is_said(tmp_path):
    with pytest.raises(ParamsError, match=r"config\.yaml is missing; run this in the project's root"):
        compose(tmp_path / "conf", [])


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.lr=0.1", "seed=4"],
        ["data=voc", "data.classes=[no,'人']"],
        ["+experiment=bccd", "training.epochs=3"],
    ],
)
def test_a_saved_experiment_composes_the_same_parameters(conf, tmp_path, overrides):
    params = tmp_path / "params.yaml"
    compose_into(params, conf, overrides)
    found = differences(yaml.safe_load(params.read_text(encoding="utf-8")), conf)
    path = save_experiment("mine", found, params, conf)
    assert path == conf / "experiment" / "mine.yaml"
    assert compose(conf, ["+experiment=mine"]) == yaml.safe_load(params.read_text(encoding="utf-8"))
    again = differences(yaml.safe_load(params.read_text(encoding="utf-8")), conf)
    assert again.overrides == ["+experiment=mine"]


def test_saving_refuses_what_it_cannot_do(conf, tmp_path):
    params = tmp_path / "params.yaml"
    compose_into(params, conf, ["seed=1"])
    found = Differences(["seed=1"])
    with pytest.raises(ParamsError, match="letters, digits"):
        save_experiment("../x", found, params, conf)
    with pytest.raises(ParamsError, match="exists"):
        save_experiment("bccd", found, params, conf)
    with pytest.raises(ParamsError, match="nothing to save"):
        save_experiment("mine", Differences(), params, conf)
    with pytest.raises(ParamsError, match="no override explains x"):
        save_experiment("mine", Differences(structure=["x"]), params, conf)
    before = (conf / "experiment" / "bccd.yaml").read_bytes()
    assert before == FILES["experiment/bccd.yaml"].encode()
    save_experiment("bccd", found, params, conf, replace=True)
    assert compose(conf, ["+experiment=bccd"])["seed"] == 1


@pytest.mark.parametrize("value", ["/数据/图 像", "/a (1)/b", "/a=b"])
def test_a_value_that_hydra_cannot_read_is_said_as_it_can(conf, value):
    with pytest.raises(ParamsError, match="cannot be read; put the value in quotes: ") as raised:
        compose(conf, ["data=voc", f"data.root={value}"])
    _, _, advised = str(raised.value).partition("quotes: ")
    assert compose(conf, ["data=voc", *shlex.split(advised)])["data"]["root"] == value
