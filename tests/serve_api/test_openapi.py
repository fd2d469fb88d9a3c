"""The OpenAPI document tells the truth: of its own completeness, and as a client that follows it finds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

SECONDS = int(os.environ.get("PINDET_FUZZ_SECONDS", "15"))
"""How long the document is followed; `make fuzz` takes ten minutes."""


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.url}/openapi.json").json()


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_answer_has_its_headers_and_every_error_its_shape(document):
    seen = 0
    for name, operation in operations(document):
        assert operation.get("description"), name
        for status, response in operation["responses"].items():
            assert response["description"] not in ("", "Successful Response"), (name, status)
            assert {"X-Request-ID", "X-Model-Version", "X-Model-MD5"} <= response["headers"].keys(), (name, status)
            assert all(header["description"] for header in response["headers"].values())
            if not status.startswith("2") and (name, status) != ("get /health/ready", "503"):
                assert list(response["content"]) == ["application/problem+json"], (name, status)
            if status in ("429", "503") and name != "get /health/ready":
                assert "Retry-After" in response["headers"], (name, status)
            seen += 1
    assert seen > 120


def test_every_field_and_parameter_is_described(document):
    seen = 0
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, described in schema["properties"].items():
            assert described.get("description"), (name, field)
            seen += 1
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
            seen += 1
    assert seen > 100


@pytest.mark.timeout(SECONDS + 285)
def test_a_client_that_follows_it_finds_no_surprise(server):
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists() and not shutil.which("schemathesis"):
        pytest.skip("there is no `schemathesis` (requirements/dev.txt)")
    # A parameter may be valid by the document and not for this model: which classes there are is no part of it.
    command = [program, "run", f"{server.url}/openapi.json", f"--max-time={SECONDS}", "--seed=1", "--no-color"]
    command += ["--checks=all"]
    command += ["--exclude-checks=positive_data_acceptance", "--suppress-health-check=filter_too_much"]
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS + 225)
    assert done.returncode == 0, done.stdout[-6000:]
    assert not [line for line in server.lines() if line["level"] == "error"]
