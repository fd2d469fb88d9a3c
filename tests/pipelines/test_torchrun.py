"""The training started by ``torchrun``, as the user guide says: the same run, recorded for DVC by hand."""

import socket

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_what_torchrun_trains_is_committed_and_gone_on_from(project):
    overrides = ["+experiment=tiny", "runtime=ddp", "runtime.devices=2", "training.weight_decay=0.06"]
    project.run("pindet", "params", *overrides)
    project.dvc("repro", "prepare")
    before = project.lock("train")["outs"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    said = project.run(
        "torchrun", "--nnodes=1", "--nproc-per-node=2", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}",
        "-m", "pipelines.train", PYTHONPATH="src:serve",
    )  # fmt: skip
    assert said.count("epoch 6 of 6") == 1, "one process alone speaks"

    project.dvc("commit", "-f", "train")
    made = {out["path"]: out["md5"] for out in project.lock("train")["outs"]}
    assert made["models/weights.safetensors"] not in [out["md5"] for out in before]
    later = project.dvc("repro")
    assert "Stage 'train' didn't change, skipping" in later
    for stage in ("evaluate", "export"):
        assert f"Running stage '{stage}'" in later
    evaluated = {dep["path"]: dep["md5"] for dep in project.lock("evaluate")["deps"]}
    assert evaluated["models/weights.safetensors"] == made["models/weights.safetensors"]
    assert "Data and pipelines are up to date" in project.dvc("repro")
