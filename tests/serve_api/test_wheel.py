"""The wheel alone is enough: built, installed where no source is, and started."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

SERVE = Path(__file__).parents[2] / "serve"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # Built from a copy, so that nothing is left in the tree and no other build is met.
    subprocess.run([sys.executable, "-c", COPY, str(SERVE), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=240)
    (built,) = folder.glob("*.whl")
    return built


COPY = """
import shutil, sys
ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
shutil.copytree(sys.argv[1], sys.argv[2], ignore=ignored)
"""


def test_every_file_of_the_package_is_in_it(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    files = {path for path in (SERVE / "pindet_serve").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    files = {path for path in files if not path.name.endswith(".d.ts")}  # types for checking the page, not for it
    assert files and {path.relative_to(SERVE).as_posix() for path in files} <= inside


def test_it_serves_where_no_source_is(wheel, project, tmp_path, start_server):
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # What the server needs is taken from here, but for the package itself, which comes first from the wheel.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = folder / "bin" / "python"
    server = start_server(project, program=[str(python), "-m", "pindet_serve"], PYTHONPATH="")
    place = subprocess.run(
        [python, "-c", "import pindet_serve; print(pindet_serve.__file__)"],
        env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True, check=True, cwd=tmp_path,
    ).stdout  # fmt: skip
    assert place.startswith(str(site))
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert httpx.get(f"{server.url}/v1/detections").json() == {"images": [], "next_before_id": None}
    version = httpx.get(f"{server.url}/openapi.json").json()["info"]["version"]
    assert wheel.name.startswith(f"pindet_serve-{version}-")
