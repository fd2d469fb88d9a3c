"""Wishes for releases: said on a real Redis, carried out by the release agent's process in its clone, or refused."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from pindet_serve.status.publisher import Publisher
from pindet_serve.status.redis_stream import STREAM, from_stream
from pindet_serve.status.wish import Wish, WishError, read_wish

pytestmark = pytest.mark.timeout(300)
PROJECT = Path(__file__).parents[2]
SECRET = "0f9d2c4b6a8e1735f0b1c2d3e4a59687"
PROGRAM = f"#!{sys.executable}\nfrom pindet.cli import main\nmain()\n"
CLOSED = """#!/bin/sh
echo "$*" >> "$0.log"
[ "$1" = promote ] || exec true
echo '{"error": "not promoted; closed: comparison", "exit_code": 3, "verdicts": [
 {"gate": "dvc.lock", "judgement": "passed", "reason": "fine"},
 {"gate": "comparison", "judgement": "refused", "reason": "mAP falls by 0.2"}]}'
exit 3
"""


class Bus:
    """What tests say on the bus, and what they hear."""

    def __init__(self, port):
        self.url = f"redis://127.0.0.1:{port}/0"
        self.redis = redis.Redis.from_url(self.url, decode_responses=True)
        self.publisher = Publisher(self.url, "replica-a")

    def wish(self, version, stage="production", kind="promote", *, secret=SECRET, age=0, **other):
        """Say a wish; returns its data. ``other``: what is other in it than what was signed, as ``said_stage=…``."""
        data = Wish(kind=kind, stage=stage, version=version, by="anna", ts=time.time() - age).signed(secret)
        data |= {name.removeprefix("said_"): value for name, value in other.items()}
        assert self.publisher.publish("release.wanted", data)
        return data

    def heard(self, type, **wanted):
        """Events of a type with these data."""
        bodies = [json.loads(from_stream(entry).body) for entry in self.redis.xrange(STREAM)]
        events = [body["data"] for body in bodies if body["type"] == f"release.{type}"]
        return [data for data in events if wanted.items() <= data.items()]

    def wait(self, type, seconds=60, **wanted):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := self.heard(type, **wanted):
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"no release.{type} with {wanted} within {seconds} s; heard: {self.heard('refused')}")


@pytest.fixture
def bus(tmp_path, free_port):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    command = ["redis-server", "--port", str(free_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    made = Bus(free_port)
    try:
        for _ in range(200):
            with contextlib.suppress(redis.ConnectionError):
                made.redis.ping()
                break
            time.sleep(0.05)
        yield made
    finally:
        made.publisher.close()
        made.redis.close()
        process.kill()
        process.wait(20)


@pytest.fixture
def start_agent(tmp_path, bus):
    """Starts the agent on a project; ``program`` is what it finds as ``pindet``."""
    started = []

    def start(project, program=PROGRAM, **environment):
        folder = tmp_path / f"agent-{len(started)}"
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/pindet").write_text(program)
        (folder / "bin/pindet").chmod(0o755)
        path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        here = {
            "PATH": path, "AGENT_SECONDS": "1", "AGENT_PROJECT": str(folder / "project"), "REDIS_URL": bus.url,
            "AGENT_STATE": str(folder / "agent.json"), "DVC_CACHE_DIR": str(folder / "cache"), "HOME": str(folder),
            "PROJECT_GIT": str(project.origin), "DVC_REMOTE_URL": str(project.remote), "RELEASES_FROM_PAGE": "on",
            "RELEASE_SECRET": SECRET,
        }  # fmt: skip
        with (folder / "log").open("w") as log:
            command = [sys.executable, str(PROJECT / "docker/dvc/agent.py")]
            process = subprocess.Popen(command, env=os.environ | here | environment, stdout=log, stderr=log)
        process.folder = folder
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


@pytest.fixture
def staged(shared):
    """A project whose production holds v1.0.0 and whose staging holds v1.1.0, a better model."""
    shared.train(score=0.8, miss=(0, 1, 2, 3, 4, 5, 6, 7))
    shared.pindet("promote", "--stage", "production", "--no-mlflow")
    shared.train(score=0.9)
    shared.git("push", "-q", "origin", "main")
    shared.pindet("promote", "--stage", "staging", "--no-mlflow")
    return shared


@pytest.fixture
def tagged(shared):
    """Two versions as git has them; what `pindet` would do with them is pretended."""
    for name in ("detector@v1.0.0", "detector#production#1"):
        shared.git("tag", "-a", name, "-m", name)
    shared.write("metrics.json", '{"test/map": NaN}')
    shared.commit()
    shared.git("tag", "-a", "detector@v1.1.0", "-m", "x")
    shared.git("push", "-q", "origin", "main", "--tags")
    return shared


@pytest.mark.slow
def test_a_wish_is_carried_out_with_every_gate_and_rolled_back(staged, bus, start_agent):
    start_agent(staged)
    said = bus.wait("agent", carries_out=True)
    assert [one["version"] for one in said["versions"]] == ["v1.1.0", "v1.0.0"]
    assert said["versions"][0]["metrics"] == {"test/map": 0.9}
    assert said["stages"] == {"production": {"before": []}, "staging": {"before": []}}

    wish = bus.wish("v1.1.0")
    done = bus.wait("done", id=wish["id"])
    assert (done["stage"], done["version"], done["changed"], done["by"]) == ("production", "v1.1.0", True, "anna")
    assert bus.heard("accepted", id=wish["id"]) and bus.heard("promoted", version="v1.1.0", stage="production")
    assert staged.release()["version"] == "v1.1.0"
    assert f"wished for by anna (wish {wish['id']})" in staged.release()["message"]
    assert staged.release()["promoted_by"].startswith("anna <")
    assert bus.wait("agent", stages={"production": {"before": ["v1.0.0"]}, "staging": {"before": []}})

    same = bus.wish("v1.1.0")
    assert bus.wait("done", id=same["id"])["changed"] is False
    worse = bus.wish("v1.0.0")
    assert "comparison: " in bus.wait("refused", id=worse["id"])["reason"]
    back = bus.wish("v1.0.0", kind="rollback")
    assert bus.wait("done", id=back["id"])["changed"] is True
    assert staged.release()["version"] == "v1.0.0" and bus.heard("rolled_back", version="v1.0.0")
    # A rollback needs no comparison, so it goes to nothing but what the stage held.
    never = bus.wish("v1.0.0", stage="staging", kind="rollback")
    assert "staging did not hold v1.0.0" in bus.wait("refused", id=never["id"])["reason"]


def test_what_is_no_wish_of_this_place_is_refused_and_runs_nothing(tagged, bus, start_agent):
    late, missed = bus.wish("v1.1.0", age=61), bus.wish("v1.1.0", age=20)
    agent = start_agent(tagged, CLOSED)
    assert "s old; at most 60 s" in bus.wait("refused", id=late["id"])["reason"]
    assert "mAP falls by 0.2" in bus.wait("refused", id=missed["id"])["reason"], "it is younger than a minute"
    before = promotions(agent)
    for reason, data in [
        ("signature is not one of this place", bus.wish("v1.1.0", secret="x" * 32)),
        ("signature is not one of this place", bus.wish("v1.0.0", said_version="v1.1.0")),
        ("signature is not one of this place", bus.wish("v1.0.0", said_ts=time.time() - 1)),
        ("allowed is", bus.wish("v1.1.0", said_by="anna; reboot")),
        ("stage is '--help'", bus.wish("v1.1.0", said_stage="--help")),
        ("allowed are seconds", bus.wish("v1.1.0", said_ts="now")),
        ("s old; at most 60 s", bus.wish("v1.1.0", age=-40)),
        ("there is no stage 'unknown'", bus.wish("v1.1.0", stage="unknown")),
        ("there is no version v9.9.9", bus.wish("v9.9.9")),
    ]:
        assert reason in bus.wait("refused", id=data["id"])["reason"]
    assert bus.publisher.publish("release.wanted", {"stage": ["production"]})
    assert "it lacks kind, version" in bus.wait("refused", id="")["reason"]
    assert promotions(agent) == before


def test_a_wish_is_carried_out_once_though_it_is_said_again(tagged, bus, start_agent):
    agent = start_agent(tagged, CLOSED)
    wish = bus.wish("v1.1.0")
    bus.wait("refused", id=wish["id"])
    assert bus.publisher.publish("release.wanted", wish)
    last = bus.wish("v1.0.0")
    bus.wait("refused", id=last["id"])
    assert promotions(agent) == [
        f"promote --stage production --rev {version} --message wished for by anna (wish {each['id']}) --json"
        for version, each in (("v1.1.0", wish), ("v1.0.0", last))
    ]
    # The next agent reads what was said during the last minute.
    agent.terminate()
    assert agent.wait(60) == 0
    again = start_agent(tagged, CLOSED)
    fresh = bus.wish("v1.0.0")
    bus.wait("refused", id=fresh["id"])
    assert [line for line in promotions(again) if fresh["id"] not in line] == []


def test_an_agent_that_is_not_told_to_carries_nothing_out(tagged, bus, start_agent):
    agent = start_agent(tagged, CLOSED, RELEASES_FROM_PAGE="off")
    said = bus.wait("agent")
    assert said["carries_out"] is False
    metrics = {one["version"]: one["metrics"] for one in said["versions"]}
    assert metrics == {"v1.1.0": {}, "v1.0.0": {"test/map": 0.9}}
    bus.wish("v1.1.0")
    time.sleep(3)
    assert promotions(agent) == [] and bus.heard("refused") == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RELEASE_SECRET": ""}, "RELEASE_SECRET has 0 characters; at least 32 needed"),
        ({"RELEASE_SECRET": "CHANGE_ME" * 4}, "RELEASE_SECRET looks like a placeholder"),
        ({"REDIS_URL": ""}, "REDIS_URL is not set"),
        ({"RELEASES_FROM_PAGE": "yes"}, "RELEASES_FROM_PAGE is 'yes'; on or off is allowed"),
    ],
)
def test_an_agent_with_settings_that_are_none_does_not_start(shared, start_agent, environment, said):
    agent = start_agent(shared, **environment)
    assert agent.wait(60) == 1
    assert said in (agent.folder / "log").read_text()


def test_an_agent_outlives_the_bus(tagged, bus, start_agent):
    agent = start_agent(tagged, CLOSED)
    bus.wait("agent")
    bus.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    wish = bus.wish("v1.1.0")
    bus.wait("refused", id=wish["id"])
    assert len(promotions(agent)) == 1


def promotions(agent):
    """What was run in an agent's name."""
    log = agent.folder / "bin/pindet.log"
    return [line for line in log.read_text().splitlines() if line.startswith(("promote", "rollback"))]


def test_a_signature_is_of_every_member():
    data = Wish(kind="promote", stage="production", version="v1.0.0", by="anna").signed(SECRET)
    assert read_wish(data, SECRET).signed(SECRET) == data
    for change in ({"kind": "rollback"}, {"stage": "staging"}, {"version": "v1.0.1"}, {"by": "ann"},
                   {"id": "0" * 32}, {"ts": data["ts"] + 1}, {"signature": ""}):  # fmt: skip
        with pytest.raises(WishError, match="signature"):
            read_wish(data | change, SECRET)
