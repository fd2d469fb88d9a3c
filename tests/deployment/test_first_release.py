"""docker/api/seed.py and start.py: the first release from a bundle at hand, and a state folder for each replica."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pindet_serve.manifest import BundleError
from pindet_serve.serving.release import folder_md5
from pindet_serve.serving.sources import open_source
from pindet_serve.settings import read_settings

API = Path(__file__).parents[2] / "docker" / "api"


def load(name):
    spec = importlib.util.spec_from_file_location(f"stack_{name}", API / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


seed = load("seed").seed


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "models" / "bundle"
    (folder / "golden").mkdir(parents=True)
    (folder / "manifest.json").write_text('{"classes": ["a"]}')
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "golden" / "000.png").write_bytes(b"image")
    return folder


def release_file(remote):
    return remote / "releases" / "detector" / "production.json"


def test_a_bundle_becomes_the_first_release_that_servers_can_fetch(bundle, tmp_path):
    remote = tmp_path / "remote"
    assert "released from models/bundle" in seed(bundle, remote)
    source = open_source(str(release_file(remote)))
    release = source.pinned()
    assert (release.version, release.stage) == ("workspace", "production")
    assert release.bundle_md5 == folder_md5(release.files)
    for file in release.files:
        source.fetch(file, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == (bundle / file.path).read_bytes()
    listing = json.loads((remote / "files" / "md5" / release.bundle_md5[:2] / release.bundle_md5[2:]).read_text())
    assert [item["relpath"] for item in listing] == ["golden/000.png", "manifest.json", "model.onnx"]


def test_it_is_done_once_and_follows_a_changed_bundle(bundle, tmp_path):
    remote = tmp_path / "remote"
    seed(bundle, remote)
    before = release_file(remote).stat().st_mtime_ns
    assert "from models" not in seed(bundle, remote)
    assert release_file(remote).stat().st_mtime_ns == before
    (bundle / "model.onnx").write_bytes(b"another")
    assert "released from models/bundle" in seed(bundle, remote)
    open_source(str(release_file(remote))).pinned()


def test_a_promoted_release_is_never_touched(bundle, tmp_path):
    remote = tmp_path / "remote"
    seed(bundle, remote)
    path = release_file(remote)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "v1.2.0"}))
    before = path.read_bytes()
    (bundle / "model.onnx").write_bytes(b"another")
    assert seed(bundle, remote) == "detector v1.2.0 is released"
    assert path.read_bytes() == before


def test_neither_release_nor_bundle_is_said(tmp_path):
    with pytest.raises(BundleError, match="put a bundle there"):
        seed(tmp_path / "none", tmp_path / "remote")


def test_a_release_elsewhere_needs_none_here(tmp_path, monkeypatch):
    """With the DVC remote on S3 the volume stays empty, and the start must not fail for it."""
    main = load("seed").main
    monkeypatch.setenv("PINDET_REMOTE", str(tmp_path / "remote"))
    monkeypatch.setenv("PINDET_BUNDLE", str(tmp_path / "none"))
    monkeypatch.setenv("PINDET_SOURCE", "s3://bucket/releases/detector/production.json")
    assert "s3://bucket/releases/detector/production.json is followed" in main()
    monkeypatch.setenv("PINDET_SOURCE", str(release_file(tmp_path / "remote")))
    with pytest.raises(BundleError):
        main()


HOLD = "import sys, time; sys.path.insert(0, sys.argv[1]); import start; from pathlib import Path; \
print(start.take_slot(Path(sys.argv[2])).name, flush=True); time.sleep(60)"


def test_each_replica_has_a_slot_and_a_dead_ones_is_taken_again(tmp_path):
    def replica():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(API), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        return process, process.stdout.readline().strip()

    started = [replica(), replica()]
    try:
        assert [name for _, name in started] == ["api-1", "api-2"]
        started[0][0].send_signal(signal.SIGKILL)
        started[0][0].wait()
        started.append(replica())
        assert started[2][1] == "api-1"
    finally:
        for process, _ in started:
            process.kill()
            process.wait()
            process.stdout.close()


def test_replicas_share_their_jobs(tmp_path, monkeypatch):
    start, became = load("start"), []
    monkeypatch.setattr(os, "execvp", lambda *command: became.append(command))
    monkeypatch.setattr(os, "environ", {"PINDET_OUTPUT": str(tmp_path)})
    start.main()

    settings = read_settings(os.environ, [])
    assert (settings.state, Path(settings.jobs)) == (tmp_path / "api-1", tmp_path / "jobs")
    assert became[0][0] == "pindet-serve"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError):
        load("start").take_slot(tmp_path / "output")
