"""dvc.yaml names every module that a stage imports: changed code makes the stages run again that it changes."""

from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
FOLDERS = {"pindet": "src", "pindet_serve": "serve", "pipelines": ""}
OBSERVERS = ["pindet.tracking", "pindet.compose"]
"""What a stage tells others, and what it says of its parameters: no result depends on them (another test holds it)."""
BUILT = {"prepare": ["data"], "train": ["model", "training"], "evaluate": ["evaluation"], "export": ["export"]}


@pytest.fixture(scope="module")
def graph():
    built = grimp.build_graph(*FOLDERS, cache_dir=None)
    for module in [m for m in built.modules if any(m == o or m.startswith(f"{o}.") for o in OBSERVERS)]:
        built.remove_module(module)
    return built


def imported_files(graph, start):
    modules = {start, *graph.find_upstream_modules(start)}
    packages = {module.rsplit(".", depth)[0] for module in modules for depth in range(1, module.count(".") + 1)}
    for module in modules | packages:
        folder = ROOT / FOLDERS[module.partition(".")[0]]
        file = folder / module.replace(".", "/")
        yield file / "__init__.py" if file.is_dir() else file.with_suffix(".py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_module_it_imports(graph, stage):
    deps = [(ROOT / dep).resolve() for dep in STAGES[stage]["deps"]]
    starts = [f"pipelines.{stage}", *targets(stage, graph)]
    missing = sorted(
        {
            file.relative_to(ROOT).as_posix()
            for start in starts
            for file in imported_files(graph, start)
            if not any(file == dep or dep in file.parents for dep in deps)
        }
    )
    assert not missing


def targets(stage, graph):
    """The modules that the parameters of a stage name."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for group in BUILT[stage]:
        module = params[group]["_target_"].rpartition(".")[0]
        assert module in graph.modules
        yield module


@pytest.mark.parametrize("stage", STAGES)
def test_every_dependency_exists_or_is_made_by_an_earlier_stage(stage):
    made = {next(iter(out)) if isinstance(out, dict) else out for s in STAGES.values() for out in s["outs"]}
    made |= {next(iter(metric)) for s in STAGES.values() for metric in s.get("metrics", [])}
    for dep in STAGES[stage]["deps"]:
        assert dep in made or "${" in dep or (ROOT / dep).exists(), dep


def test_a_stage_tracks_the_groups_it_builds_and_the_seed():
    for stage, groups in BUILT.items():
        assert set(STAGES[stage]["params"]) - {"seed"} == set(groups)
    assert [stage for stage in STAGES if "seed" in STAGES[stage]["params"]] == ["prepare", "train"]
