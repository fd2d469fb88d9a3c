"""Shell scripts and Dockerfiles, held to their linters."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
STARTS = (b"#!/bin/sh", b"#!/usr/bin/env bash", b"# shellcheck shell")
SCRIPTS = sorted(
    path
    for folder in ("docker", "scripts/deployment", "scripts/operations")
    for path in (PROJECT / folder).rglob("*")
    if path.is_file() and path.read_bytes()[:100].startswith(STARTS)
)
DOCKERFILES = sorted((PROJECT / "docker").glob("*/Dockerfile*"))


def tool(name):
    found = shutil.which(name) or shutil.which(name, path=Path(sys.executable).parent)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_scripts_pass_shellcheck():
    assert len(SCRIPTS) >= 10
    done = subprocess.run(
        [tool("shellcheck"), "--external-sources", *SCRIPTS], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfiles_pass_hadolint():
    assert len(DOCKERFILES) >= 5
    done = subprocess.run([tool("hadolint"), "--no-color", *DOCKERFILES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_final_stage_runs_without_root_and_says_what_it_is(path):
    final = path.read_text().split("\nFROM ")[-1]
    assert [line for line in final.splitlines() if line.startswith("USER ")], "runs as root"
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in final
    assert "pip install" not in final


@pytest.mark.parametrize("path", sorted((PROJECT / "docker" / "requirements").glob("*.txt")), ids=lambda p: p.name)
def test_locks_hold_hashes_and_no_address(path):
    lines = path.read_text().splitlines()
    packages = [line for line in lines if "==" in line]
    assert packages
    assert all(line.rstrip().endswith("\\") for line in packages), "a package without hash"
    assert not [line for line in lines if "://" in line or line.startswith("--index")]


def test_locks_agree_with_the_pipeline():
    """What the images install is what the pipeline was tested with."""

    def versions(path):
        pairs = [line.split(";")[0].rstrip(" \\").split("==") for line in path.read_text().splitlines() if "==" in line]
        return {(name.strip(), version.strip()) for name, version in (pair for pair in pairs if len(pair) == 2)}

    pipeline = versions(PROJECT / "requirements" / "pipeline.txt")
    names = {name for name, _ in pipeline}
    for path in sorted((PROJECT / "docker" / "requirements").glob("*.txt")):
        apart = {item for item in versions(path) - pipeline if item[0] in names}
        assert not apart, f"{path.name}: {apart}"
