"""Backups that are not whole are refused before Docker is asked for anything."""

import hashlib
import os

import pytest

FILES = ["pindet.dump", "mlflow.dump", "mlruns.tar", "dvc_remote.tar", "models.tar", "config.tar", "env.prod"]


@pytest.fixture
def backup(tmp_path):
    folder = tmp_path / "pindet-20260101T020000Z"
    folder.mkdir()
    lines = []
    for name in FILES:
        (folder / name).write_bytes(name.encode() * 100)
        lines.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


@pytest.fixture
def no_docker(tmp_path):
    """A docker that notes that it was asked, and refuses."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "docker").write_text(f"#!/bin/sh\necho \"$*\" >> {tmp_path}/asked\nexit 1\n")
    (tools / "docker").chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


def test_a_whole_backup_passes_its_check(host, backup, no_docker, tmp_path):
    _, said = host.run("operations/restore", str(backup), **no_docker)
    assert "every file is what was saved" in said
    assert (tmp_path / "asked").exists()


def test_one_changed_byte_is_refused(host, backup, no_docker, tmp_path):
    path = backup / "dvc_remote.tar"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    status, said = host.run("operations/restore", str(backup), **no_docker)
    assert status == 1 and "damaged; nothing was restored" in said
    assert not (tmp_path / "asked").exists() and not host.settings.exists()


@pytest.mark.parametrize("name", ["mlflow.dump", "env.prod", "SHA256SUMS"])
def test_a_missing_file_is_refused(host, backup, no_docker, tmp_path, name):
    (backup / name).unlink()
    status, said = host.run("operations/restore", str(backup), **no_docker)
    assert (status == 1 and "nothing was restored" in said) or "no whole backup" in said
    assert not (tmp_path / "asked").exists()


def test_a_list_that_leaves_a_file_out_is_refused(host, backup, no_docker, tmp_path):
    sums = backup / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "dvc_remote" not in line))
    status, said = host.run("operations/restore", str(backup), **no_docker)
    assert status == 1 and "lacks dvc_remote.tar" in said
    assert not (tmp_path / "asked").exists()


def test_images_that_are_not_what_was_saved_are_refused(host, no_docker, tmp_path):
    archive = tmp_path / "images.tar.gz"
    archive.write_bytes(b"images")
    (tmp_path / "images.tar.gz.sha256").write_text(f"{'0' * 64}  images.tar.gz\n")
    status, said = host.run("deployment/images.sh", "load", str(archive), **no_docker)
    assert status == 1 and "not what was saved" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("script", ["backup", "cleanup"])
def test_unknown_arguments_are_refused(host, no_docker, script):
    status, said = host.run(f"operations/{script}", "--everything", **no_docker)
    assert status == 1 and "--everything" in said
