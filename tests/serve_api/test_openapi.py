"""The OpenAPI document tells the truth: of its own completeness, and as a client that follows it finds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="module")
def document(server):
    return httpx.get(f"{server.url}/openapi.json").json()


OURS = ("/v1/detect", "/v1/model", "/v1/jobs", "/health", "/metrics")


def test_every_answer_has_its_headers_and_every_error_its_shape(document):
    seen = 0
    for path, methods in document["paths"].items():
        if not path.startswith(OURS):
            continue
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            for status, response in operation["responses"].items():
                assert {"X-Request-ID", "X-Model-Version", "X-Model-MD5"} <= response["headers"].keys(), (path, status)
                assert status.startswith("2") or status == "503" or list(response["content"]) == [
                    "application/problem+json"
                ], (path, status)
                seen += 1
    assert seen > 60


def test_every_field_of_an_answer_is_described(document):
    schemas = document["components"]["schemas"]
    for name in ("DetectAnswer", "ImageAnswer", "Detection", "ModelAnswer", "JobAnswer", "ProblemBody"):
        assert schemas[name]["description"]
    for name in ("ModelAnswer", "JobAnswer", "Timing", "ProblemBody"):
        plain = [field for field, schema in schemas[name]["properties"].items() if "description" not in schema]
        assert set(plain) <= {"id", "name"}, (name, plain)


def test_a_client_that_follows_it_finds_no_surprise(server):
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists() and not shutil.which("schemathesis"):
        pytest.skip("there is no `schemathesis` (requirements/dev.txt)")
    # A parameter may be valid by the document and not for this model: which classes there are is no part of it.
    command = [program, "run", f"{server.url}/openapi.json", "--max-time=15", "--seed=1", "--no-color"]
    command += ["--include-path-regex=^/(v1/(detect|model|jobs)|health|metrics)", "--checks=all"]
    command += ["--exclude-checks=positive_data_acceptance", "--suppress-health-check=filter_too_much"]
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stdout[-6000:]
    assert not [line for line in server.lines() if line["level"] == "error"]
