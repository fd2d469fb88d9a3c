"""docker/api/check.py against a real server, as the check after a start runs it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).parents[2]
CHECK = PROJECT / "docker" / "api" / "check.py"
SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"
ADMIN = {"username": "admin", "password": "first password 1"}
OTHER = "0" * 32


def sibling(name, folder):
    """Another suite's conftest as a module: its bundles and servers are wanted here too."""
    spec = importlib.util.spec_from_file_location(name, PROJECT / "tests" / folder / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_api = sibling("deployment_serve_api", "serve_api")
make_release = _api.make_release


class Stack:
    """A server with sign-in and a database, and the check of it."""

    def __init__(self, servers, source, folder):
        self.output = folder / "output"
        self.environment = {
            "JWT_SECRET": SECRET, "DATABASE_URL": f"sqlite:///{folder}/history.db", "PINDET_OUTPUT": str(self.output),
            "PINDET_ADMIN_USER": "admin", "PINDET_ADMIN_PASSWORD": ADMIN["password"],
        }  # fmt: skip
        flags = [f"--state={self.output / 'api-1'}"]
        self.server = servers.start(source, *flags, **self.environment)
        self.bundles = self.output / "api-1" / "store" / "bundles"

    def check(self, **changes):
        """Exit status and lines."""
        path = os.pathsep.join([str(PROJECT / "serve"), str(CHECK.parent)])
        done = subprocess.run(
            [sys.executable, str(CHECK), self.server.url], capture_output=True, text=True, check=False, timeout=120,
            env=os.environ | {"PYTHONPATH": path} | self.environment | changes,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def token(self, **form):
        return httpx.post(f"{self.server.url}/v1/auth/token", data=form)

    @property
    def golden(self):
        (served,) = (each for each in self.bundles.glob("[!.]*") if each.name != OTHER)
        return served / "golden"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack")
    servers = _api.Servers(folder)
    bundle = _api.write_bundle(folder / "bundle")
    spec = importlib.util.spec_from_file_location("check_seed", PROJECT / "docker" / "api" / "seed.py")
    seed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seed)
    seed.seed(bundle, folder / "remote")
    try:
        yield Stack(servers, folder / "remote" / "releases" / "detector" / "production.json", folder)
    finally:
        servers.stop()


def test_it_passes_whatever_the_administrators_password_is(stack):
    """The guide has it changed on the page, and the settings keep the first one."""
    signed = {"Authorization": f"Bearer {stack.token(**ADMIN).json()['access_token']}"}
    changed = {"password": "another password 2"}
    httpx.patch(f"{stack.server.url}/v1/users/admin", json=changed, headers=signed).raise_for_status()
    assert stack.token(**ADMIN).status_code == 401
    status, said = stack.check()
    assert status == 0 and "FAIL" not in said, said
    assert "pass  sign-in: stack-check is viewer" in said
    assert "3 objects in" in said and "pass  socket" in said


def test_its_user_is_put_right_again_with_the_least_role(stack):
    """Also after JWT_SECRET was changed: that is another password."""
    assert stack.check()[0] == 0
    status, said = stack.check(JWT_SECRET="another-secret-0123456789-abcdefghij")
    assert status == 0 and "stack-check is viewer" in said, said
    status, said = stack.check(DATABASE_URL="sqlite:////dev/null/history.db", JWT_SECRET="0" * 40)
    assert status == 1 and "FAIL  sign-in" in said, said


def test_the_image_is_one_of_the_served_bundle_with_objects(stack):
    """Not the first of any bundle that is kept: that may be the former model's, or an empty one."""
    former = stack.bundles / OTHER / "golden"
    former.mkdir(parents=True)
    (former / "000.png").write_bytes(b"no image")
    answers = json.loads((stack.golden / "answers.json").read_text())
    answers["answers"][0] |= {"boxes": [], "scores": [], "labels": []}
    kept = (stack.golden / "answers.json").read_text()
    try:
        (stack.golden / "answers.json").write_text(json.dumps(answers))
        status, said = stack.check()
        assert status == 0 and "3 objects in 001.png" in said, said
        answers["answers"][1]["labels"][0] = 2
        (stack.golden / "answers.json").write_text(json.dumps(answers))
        status, said = stack.check()
        assert status == 1 and "FAIL  detection: 001.png" in said, said
    finally:
        (stack.golden / "answers.json").write_text(kept)
        shutil.rmtree(stack.bundles / OTHER)
