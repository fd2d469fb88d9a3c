"""params.yaml is checked before anything runs: each wrong key or value is named, with what is allowed."""

from dataclasses import dataclass

import pytest

from pindet.params import GROUPS, ParamsError, load_params


@dataclass(frozen=True)
class Split:
    val: float
    test: float

    def __post_init__(self):
        if self.val + self.test >= 1:
            raise ValueError(f"val + test is {self.val + self.test}; it must stay below 1")


@dataclass(frozen=True)
class Source:
    classes: list[str]
    split: Split
    root: str | None = None
    num_classes: int = 0


HERE = "pindet.params"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads params.yaml whose group ``data`` is the given YAML; targets resolve to this module."""
    monkeypatch.setattr(f"{HERE}.Source", Source, raising=False)
    monkeypatch.setattr(f"{HERE}.Split", Split, raising=False)

    def loaded(data: str):
        groups = dict.fromkeys(GROUPS, "null") | {"seed": "7", "data": data}
        path = tmp_path / "params.yaml"
        path.write_text("".join(f"{group}: {value}\n" for group, value in groups.items()), encoding="utf-8")
        return load_params(path)

    return loaded


def source(classes="[a, b]", split=f"{{_target_: {HERE}.Split, val: 0.1, test: 0.2}}", more=""):
    return f"{{_target_: {HERE}.Source, classes: {classes}, split: {split}{more}}}"


def test_a_group_is_built_with_everything_below_it(load):
    params = load(source(classes='["no", "on", "1e3", 人]', more=", root: data/raw"))
    assert params.build("seed") == 7
    assert params.build("data", num_classes=4) == Source(["no", "on", "1e3", "人"], Split(0.1, 0.2), "data/raw", 4)


@pytest.mark.parametrize("seed", ["abc", "null", "1.5", "true", "[1, 2]", "-1", "4294967296"])
def test_a_seed_is_a_whole_number(tmp_path, seed):
    path = tmp_path / "params.yaml"
    groups = dict.fromkeys(GROUPS, "null") | {"seed": seed}
    path.write_text("".join(f"{group}: {value}\n" for group, value in groups.items()), encoding="utf-8")
    with pytest.raises(ParamsError, match=r"^seed is .*; a whole number from 0 to 4294967295 is allowed"):
        load_params(path).build("seed")


def test_a_whole_number_is_allowed_where_a_float_is(load):
    assert load(source(split=f"{{_target_: {HERE}.Split, val: 0, test: 0.5}}")).build("data").split.val == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            source(more=", rooot: x"),
            r"data has the unknown key 'rooot', did you mean 'root'\?; allowed are classes",
        ),
        (
            f"{{_target_: {HERE}.Source, classes: [a]}}",
            "data lacks the key 'split'; required are classes, split",
        ),
        (source(more=", root: '???'"), r"data\.root is '\?\?\?'.*-S data\.root="),
        (source(more=", root: 3"), r"data\.root is 3: input should be a valid string"),
        (source(classes="[a, no]"), r"data\.classes\[1\] is False: .*put it in quotes"),
        (source(split=f"{{_target_: {HERE}.Split, val: '0.1', test: 0.2}}"), r"data\.split\.val is '0\.1'"),
        (source(split=f"{{_target_: {HERE}.Split, val: 0.6, test: 0.6}}"), r"data: .*val \+ test is 1\.2"),
        (
            source(split=f"{{_target_: {HERE}.Splitt, val: 0.6, test: 0.6}}"),
            r"data\.split\._target_ is .*does not import",
        ),
    ],
)
def test_what_is_wrong_is_named(load, data, message):
    with pytest.raises(ParamsError, match=message):
        load(data).build("data")


def test_the_top_level_is_fixed(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("sed: 1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"unknown key 'sed', did you mean 'seed'"):
        load_params(path)
    path.write_text("seed: 1\n", encoding="utf-8")
    with pytest.raises(ParamsError, match="lacks the key 'data'"):
        load_params(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing"),
        ("a: [", "cannot be read"),
        ("- a", "holds a list"),
        ("a: ${b}", "cannot be read"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=message):
        load_params(path)
