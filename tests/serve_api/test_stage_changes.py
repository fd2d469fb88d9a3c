"""``POST /v1/releases/{stage}``: who may wish for what, and when nobody can hear it."""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import redis
from pindet_serve.status.publisher import Publisher
from pindet_serve.status.wish import read_wish

SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"
WISHES = "a59687e4d3c2b1f0" * 2
PASSWORD = "correct horse battery 7"
REPOSITORY = Path(__file__).parents[2]
ROLES = ("viewer", "operator", "admin")
SAID = {
    "carries_out": True,
    "stages": {"production": {"before": ["v0.9.0"]}, "staging": {"before": []}, "line-1": {"before": []}},
    "versions": [
        {"version": "v1.10.0", "commit": "a" * 40, "when": 1.7e9, "metrics": {"test/map": 0.9}},
        {"version": "v1.0.0", "commit": "b" * 40, "when": 1.6e9, "metrics": {}},
    ],
}

spec = importlib.util.spec_from_file_location("api_serve_status", REPOSITORY / "tests/serve_status/conftest.py")
status = importlib.util.module_from_spec(spec)
spec.loader.exec_module(status)


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory, free_ports):
    yield from status.running(tmp_path_factory.mktemp("redis"), *free_ports(1))


@pytest.fixture(scope="module")
def plant(module_servers, redis_server):
    """A server on a bus, with sign-in and a user of each role; and the headers of these."""
    server = module_servers(JWT_SECRET=SECRET, REDIS_URL=redis_server.url, RELEASE_SECRET=WISHES)
    database = f"sqlite:///{server.state / 'history.db'}"
    headers = {}
    for role in ROLES:
        environment = os.environ | {
            "PYTHONPATH": str(REPOSITORY / "serve"), "DATABASE_URL": database, "PINDET_USER_PASSWORD": PASSWORD,
        }  # fmt: skip
        command = [sys.executable, "-m", "pindet_serve.auth", role, "--role", role]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        form = {"username": role, "password": PASSWORD}
        token = httpx.post(f"{server.url}/v1/auth/token", data=form, timeout=30).raise_for_status().json()
        headers[role] = {"Authorization": f"Bearer {token['access_token']}"}
    return server, headers


def say(redis_server, type, data):
    """What the release agent's process does."""
    publisher = Publisher(redis_server.url, "release-agent@test")
    assert publisher.publish(type, data)
    publisher.close()


def wanted(redis_server):
    """The wishes on the bus so far."""
    client = redis.Redis.from_url(redis_server.url, decode_responses=True)
    events = [json.loads(fields["event"]) for _, fields in client.xrange("{pindet:status}:events")]
    client.close()
    return [event["data"] for event in events if event["type"] == "release.wanted"]


def wish(server, headers, stage="production", **body):
    return httpx.post(f"{server.url}/v1/releases/{stage}", json=body, headers=headers, timeout=30)


def eventually(what, seconds=20):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "not seen"
        time.sleep(0.1)
    return found


def audited(server, action):
    with sqlite3.connect(server.state / "history.db") as database:
        query = "SELECT actor, target, outcome, details FROM audit WHERE action = ?"
        rows = database.execute(query, (action,)).fetchall()
    database.close()
    return rows


def listed(server, headers):
    return {one["stage"]: one for one in httpx.get(f"{server.url}/v1/releases", headers=headers).json()}


def test_only_administrators_are_heard_and_only_while_an_agent_listens(plant, redis_server):
    server, headers = plant
    refused = wish(server, headers["admin"], version="v1.10.0")
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert "heard of never" in refused.json()["detail"] and "pindet promote --stage" in refused.json()["detail"]
    say(redis_server, "release.agent", SAID | {"carries_out": False})
    eventually(lambda: "RELEASES_FROM_PAGE" in wish(server, headers["admin"], version="v1.10.0").text)
    say(redis_server, "release.agent", SAID)
    eventually(lambda: not listed(server, headers["admin"])["staging"]["closed"])
    assert wanted(redis_server) == []

    for role in ("viewer", "operator"):
        answer = wish(server, headers[role], version="v1.10.0")
        assert (answer.status_code, answer.json()["detail"]) == (403, f"the role is {role}; admin is needed")
    assert wish(server, {}, version="v1.10.0").status_code == 401
    answer = wish(server, headers["admin"], version="v1.10.0")
    assert answer.status_code == 202
    (event,) = eventually(lambda: wanted(redis_server))
    assert answer.json() == {"kind": "promote", "stage": "production", "version": "v1.10.0", "id": event["id"]}
    assert event["by"] == "admin" and abs(event["ts"] - time.time()) < 60
    assert read_wish(event, WISHES).version == "v1.10.0"
    back = wish(server, headers["admin"], version="v0.9.0", kind="rollback")
    assert back.status_code == 202
    assert eventually(lambda: wanted(redis_server)[1:])[0]["kind"] == "rollback"
    entries = eventually(lambda: audited(server, "release.rollback"))
    assert entries == [("admin", "production v0.9.0", "done", json.dumps({"id": back.json()["id"]}))]
    outcomes = {(actor, target, outcome) for actor, target, outcome, _ in audited(server, "release.promote")}
    assert outcomes == {("admin", "production v1.10.0", "refused"), ("admin", "production v1.10.0", "done")}


def test_what_may_be_chosen_is_listed(plant, redis_server):
    server, headers = plant
    say(redis_server, "release.agent", SAID)
    eventually(lambda: listed(server, headers["viewer"]))
    stages = listed(server, headers["viewer"])
    assert stages.keys() == {"production", "staging", "line-1"}, "those that hold nothing yet, too"
    production = stages["production"]
    assert (production["version"], production["before"], production["closed"]) == ("", ["v0.9.0"], "")
    assert production["choices"] == SAID["versions"]


@pytest.mark.parametrize(
    ("stage", "body"),
    [
        ("production", {}),
        ("production", {"version": "1.2.0"}),
        ("production", {"version": "v1.2.0; reboot"}),
        ("production", {"version": "v1.2.0\n"}),
        ("production", {"version": "--help"}),
        ("production", {"version": "v1.2.0", "kind": "delete"}),
        ("production", {"version": "v1.2.0", "rev": "main"}),
        ("--help", {"version": "v1.2.0"}),
        ("a%20b", {"version": "v1.2.0"}),
        ("..%5c..", {"version": "v1.2.0"}),
    ],
)
def test_what_is_no_stage_or_version_is_refused(plant, redis_server, stage, body):
    server, headers = plant
    before = len(wanted(redis_server))
    answer = wish(server, headers["admin"], stage, **body)
    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid parameters")
    assert len(wanted(redis_server)) == before


def test_a_stage_that_nobody_knows_and_what_others_say_on_the_bus(plant, redis_server):
    server, headers = plant
    say(redis_server, "release.agent", SAID)
    eventually(lambda: listed(server, headers["admin"]))
    answer = wish(server, headers["admin"], "nowhere", version="v1.10.0")
    assert answer.status_code == 409
    assert "no stage 'nowhere'; it knows line-1, production, staging" in answer.json()["detail"]
    say(redis_server, "release.agent", {"stages": 3})
    eventually(lambda: listed(server, headers["admin"]) == {})
    assert wish(server, headers["admin"], version="v1.10.0").status_code == 409


def test_without_a_bus_it_says_what_to_do(server):
    answer = wish(server, {}, version="v1.0.0")
    assert answer.status_code == 409
    assert "REDIS_URL is not set" in answer.json()["detail"] and "pindet promote" in answer.json()["detail"]
