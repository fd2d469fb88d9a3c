"""conf/ as it is: every option composes, imports and builds what it configures, and no key is there for nothing."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import hydra.utils
import pytest
import yaml

from pindet.compose import compose, differences, leaves
from pindet.params import GROUPS, load_params

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent.name != "experiment"
)
EXPERIMENTS = sorted(f"+experiment={path.stem}" for path in CONF.glob("experiment/*.yaml"))
PROVIDED = {"model": {"num_classes": 3}}


@pytest.mark.parametrize("override", [*OPTIONS, *EXPERIMENTS])
def test_every_option_composes_and_builds_what_it_configures(override, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(compose(CONF, [override])), encoding="utf-8")
    params = load_params(tmp_path / "params.yaml")
    for group in GROUPS:
        assert params.build(group, **PROVIDED.get(group, {})) is not None


def test_the_committed_parameters_are_what_conf_composes_with_some_overrides():
    committed = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert not differences(committed, CONF).structure


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix())
def test_nothing_of_this_machine_or_of_hydras_runtime_gets_in(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\$\{(oc\.env|hydra)[:.]", text)
    assert not re.search(r"(?i)(password|secret|token)\s*:", text)


def test_no_stage_is_a_hydra_application():
    for path in [*ROOT.glob("pipelines/*.py"), *ROOT.glob("src/**/*.py")]:
        assert "@hydra.main" not in path.read_text(encoding="utf-8").replace("``@hydra.main``", "")


def configured_keys():
    """Each (target, key) that any option configures."""
    found = {}
    for override in [*OPTIONS, *EXPERIMENTS]:
        for key, value in leaves(compose(CONF, [override])):
            group, _, name = key.partition(".")
            if name.endswith("_target_"):
                node = name.rpartition("_target_")[0].rstrip(".")
                found.setdefault(value, set())
                composed = compose(CONF, [override])[group]
                for part in node.split(".") if node else []:
                    composed = composed[part]
                found[value] |= {child for child in composed if not child.startswith("_")}
    return found


def test_a_key_that_nothing_reads_is_not_there():
    """A dataclass's field is read as an attribute outside its own check; an argument is read in its function."""
    reads = attribute_reads()
    unread = [
        f"{target}: {key}"
        for target, keys in configured_keys().items()
        for key in sorted(keys)
        if not is_read(hydra.utils.get_object(target), key, reads)
    ]
    assert not unread


def is_read(target, key, reads):
    if hasattr(target, "__dataclass_fields__"):
        return key in reads
    function = target.__init__ if inspect.isclass(target) else target
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Name) and node.id == key for node in ast.walk(tree))


def attribute_reads():
    """The names of all attributes that the library or a stage reads, checks in ``__post_init__`` left out."""
    names = set()
    for path in [*ROOT.glob("pipelines/*.py"), *ROOT.glob("src/**/*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                node.body = [each for each in node.body if getattr(each, "name", "") != "__post_init__"]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                names.add(node.attr)
    return names


def test_every_module_that_conf_names_is_the_projects_own():
    for target in configured_keys():
        module = importlib.import_module(target.rpartition(".")[0])
        assert Path(module.__file__).is_relative_to(ROOT / "src")
