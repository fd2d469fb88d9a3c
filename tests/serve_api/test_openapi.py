"""The OpenAPI document tells the truth: of its own completeness, and as a client that follows it finds."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image as Pillow
from pindet_serve.api.schemas import JobLine
from pindet_serve.auth.__main__ import main

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


OF_HTTP = {"content-type", "content-length", "date", "connection", "x-content-type-options"}
"""What HTTP itself, or browsers alone, have to know."""


def check_headers(document, answer, path, *needed):
    """Every header that was sent is declared, and those that are needed were sent."""
    method = answer.request.method.lower()
    described = document["paths"][path][method]["responses"][str(answer.status_code)]
    declared = {name.lower() for name in described["headers"]}
    assert answer.headers.keys() - OF_HTTP <= declared, (method, path, answer.status_code)
    assert set(needed) <= answer.headers.keys() & declared, (method, path, answer.status_code)


def test_the_headers_that_are_sent_are_those_that_are_declared(server, document, imageless):
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    with httpx.Client(base_url=server.url, headers=trace, timeout=30) as client:
        for name, operation in operations(document):
            method, path = name.split()
            asked = path.replace("{job_id}", "none").replace("{stage}", "production").replace("{name}", "nobody")
            if method == "get" or operation["responses"].keys() & {"409", "415"}:
                check_headers(document, client.request(method, asked, content=b"x"), path, "traceparent")
        check_headers(document, client.post("/v1/detect", content=b"\0" * (5 * 2**20)), "/v1/detect")
        job = client.post("/v1/jobs", content=imageless)
        check_headers(document, job, "/v1/jobs")
        path = f"/v1/jobs/{job.json()['id']}"
        until = time.monotonic() + 20
        while client.get(path).json()["status"] != "finished":
            assert time.monotonic() < until
            time.sleep(0.05)
        check_headers(document, client.get(f"{path}/result"), "/v1/jobs/{job_id}/result", "content-disposition", "etag")
        check_headers(document, client.delete(path), "/v1/jobs/{job_id}")


def test_a_line_of_a_result_is_as_it_is_described(server, document, imageless, scene):
    picture, archive = io.BytesIO(), io.BytesIO(imageless)
    Pillow.fromarray(scene()).save(picture, "PNG")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("b.png", picture.getvalue())
    operation = document["paths"]["/v1/jobs/{job_id}/result"]["get"]
    ((media_type, content),) = operation["responses"]["200"]["content"].items()
    job = httpx.post(f"{server.url}/v1/jobs", content=archive.getvalue()).json()
    until = time.monotonic() + 20
    while not (answer := httpx.get(f"{server.url}/v1/jobs/{job['id']}/result")).is_success:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert answer.headers["content-type"] == media_type == "application/x-ndjson"
    bad, good = map(json.loads, answer.text.splitlines())
    described = content["schema"]
    assert all(field.get("description") for field in described["properties"].values())
    assert described["properties"]["detections"]["anyOf"][0]["items"] == {"$ref": "#/components/schemas/Detection"}
    for line in (bad, good):
        assert set(described["required"]) <= line.keys() <= described["properties"].keys()
        JobLine.model_validate(line)
    assert "error" in bad and good["detections"]


def test_the_headers_of_sign_in(guarded_server, document):
    database = f"sqlite:///{guarded_server.state / 'history.db'}"
    environment = {"DATABASE_URL": database, "PINDET_USER_PASSWORD": "long enough"}
    main(["header", "--role", "admin"], environment)
    with httpx.Client(base_url=guarded_server.url, timeout=30) as client:
        token = client.post("/v1/auth/token", data={"username": "header", "password": "long enough"})
        check_headers(document, token, "/v1/auth/token", "cache-control")
        client.headers["authorization"] = f"Bearer {token.json()['access_token']}"
        for path in ("/v1/auth/ticket", "/v1/auth/renew"):
            check_headers(document, client.post(path), path, "cache-control")
        check_headers(document, client.get("/v1/users"), "/v1/users")
        for _ in range(7):
            failed = client.post("/v1/auth/token", data={"username": "nobody", "password": "wrong"})
        check_headers(document, failed, "/v1/auth/token", "retry-after")
        check_headers(document, httpx.get(f"{guarded_server.url}/v1/model"), "/v1/model", "www-authenticate")


def test_a_server_that_is_busy_says_when_to_come_back(start_server, project, make_bundle, lock, document):
    server = start_server(project, slow=0.001)
    make_bundle(project / "models" / "bundle", score=0.7)
    lock(project)
    server.hold.touch()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{server.url}/v1/model/reload", timeout=60)
        until = time.monotonic() + 30
        while (busy := httpx.post(f"{server.url}/v1/model/rollback", timeout=60)).json()["title"] != "Busy":
            assert time.monotonic() < until, busy.text
        server.hold.unlink()
        assert first.result().json()["changed"]
    assert busy.status_code == 409
    check_headers(document, busy, "/v1/model/rollback", "retry-after")
    refused = httpx.post(f"{server.url}/v1/model/reload", timeout=60)
    check_headers(document, refused, "/v1/model/reload")
    assert "retry-after" not in refused.headers


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
