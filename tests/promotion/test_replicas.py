"""The parts of docker/kubernetes as processes, with its settings: an agent with a clone, servers, S3, Redis, MLflow.

A release that is promoted in the agent's clone is followed by every replica.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import boto3
import pytest

pytestmark = pytest.mark.timeout(300)
PROJECT = Path(__file__).parents[2]
MANIFESTS = PROJECT / "docker" / "kubernetes" / "base"
PASSWORD = "0123456789abcdef0123456789abcdef"


def settings(name):
    """The settings that a pod is given."""
    lines = (MANIFESTS / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def wait_for(what, process=None, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError, AssertionError):
            if (found := what()) is not None:
                return found
        assert process is None or process.poll() is None, f"it ended with status {process.returncode}"
        time.sleep(0.1)
    raise AssertionError(f"not seen within {seconds} s")


class Cluster:
    """Starts what pods run; ``close`` ends it."""

    def __init__(self, folder, address, common, free_ports):
        self.folder, self.address, self._common, self._free_ports = folder, address, common, free_ports
        self._processes = contextlib.ExitStack()

    def run(self, name, command, **environment):
        folder = self.folder / name
        folder.mkdir()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log,
                env=os.environ | self._common | {"PATH": path, "HOME": str(folder)} | environment,
            )  # fmt: skip
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process

    def agent(self, origin):
        folder = self.folder / "agent"
        self.clone, self.state, self.figures = folder / "project", folder / "agent.json", folder / "agent.txt"
        here = {
            "AGENT_SECONDS": "1", "AGENT_PROJECT": str(self.clone), "AGENT_STATE": str(self.state),
            "AGENT_FIGURES": str(self.figures), "DVC_CACHE_DIR": str(folder / "cache"), "PROJECT_GIT": str(origin),
            "DVC_REMOTE_URL": self.address, "RELEASES_FROM_PAGE": "on",
        }  # fmt: skip
        process = self.run("agent", [sys.executable, str(PROJECT / "docker/dvc/agent.py")], **settings("agent") | here)
        return wait_for(lambda: json.loads(self.state.read_text()), process)

    def api(self, name):
        (port,) = self._free_ports(1)
        here = {
            "PINDET_SOURCE": f"{self.address}/releases/detector/production.json", "PINDET_PORT": str(port),
            "PINDET_HOST": "127.0.0.1", "PINDET_OUTPUT": str(self.folder / name / "output"), "PINDET_THREADS": "1",
            "PINDET_DEVICE": "cpu", "JWT_SECRET": PASSWORD, "PINDET_ADMIN_PASSWORD": PASSWORD,
        }  # fmt: skip
        start = [sys.executable, str(PROJECT / "docker/api/start.py")]
        process = self.run(name, start, **settings("api") | here)
        return process, f"http://127.0.0.1:{port}"

    def close(self):
        self._processes.close()


def version(address):
    with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:
        return answer.headers["X-Model-Version"]


def wish(address, version):
    """What the page does for an administrator, once a release agent listens."""

    def ask(path, data=None, **headers):
        headers |= {} if token is None else {"Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=10) as answer:
            return json.load(answer)

    token = None
    token = ask("/v1/auth/token", f"username=admin&password={PASSWORD}".encode())["access_token"]
    wait_for(lambda: [one for one in ask("/v1/releases") if one["closed"] == ""] or None)
    body = json.dumps({"version": version}).encode()
    return ask("/v1/releases/production", body, **{"Content-Type": "application/json"})


@pytest.fixture
def cluster(tmp_path, s3_server, mlflow_server, free_ports):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    bucket, (port,) = f"kubernetes-{uuid.uuid4().hex[:8]}", free_ports(1)
    aws = s3_server.environment | {"AWS_ENDPOINT_URL": s3_server.endpoint}
    client = boto3.client(
        "s3", endpoint_url=s3_server.endpoint, aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key, region_name="us-east-1",
    )  # fmt: skip
    client.create_bucket(Bucket=bucket)
    client.close()
    common = aws | {
        "REDIS_URL": f"redis://127.0.0.1:{port}/0", "REDIS_PASSWORD": PASSWORD, "MLFLOW_TRACKING_URI": mlflow_server,
        "RELEASE_SECRET": PASSWORD[::-1],
    }  # fmt: skip
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster", f"s3://{bucket}/store", common, free_ports)
    made.environment = common
    try:
        made.run("redis", ["redis-server", "--port", str(port), "--requirepass", PASSWORD, "--save", ""])
        wait_for(lambda: socket.create_connection(("127.0.0.1", port)).close() or True)
        yield made
    finally:
        made.close()


def push(project, cluster):
    """What whoever trained does: objects to S3, commits to git."""
    (project.root / ".dvc/config.local").write_text(f"['remote \"store\"']\n    url = {cluster.address}\n")
    subprocess.run(
        [sys.executable, "-m", "dvc", "push", "-q"], cwd=project.root, env=os.environ | cluster.environment, check=True
    )
    project.git("push", "-q", "origin", "main")


def release(cluster, *arguments):
    """``kubectl exec deploy/agent -c agent -- release …``"""
    done = subprocess.run(
        [sys.executable, "-c", "from pindet.cli import main; main()", *arguments], cwd=cluster.clone, check=False,
        env=os.environ | cluster.environment | settings("agent"), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_release_in_the_agents_clone_is_followed_by_every_replica(shared, cluster):
    push(shared, cluster)
    assert cluster.agent(shared.origin)["releases"] == {}
    first, _ = cluster.api("early")
    assert first.wait(60) == 3, "nothing is released: a pod ends, and is started again"
    release(cluster, "promote", "--stage", "production")
    assert "detector@v1.0.0" in shared.tags(shared.origin)
    replicas = [cluster.api(name) for name in ("one", "two")]
    for process, address in replicas:
        assert wait_for(lambda at=address: version(at), process) == "v1.0.0"
    shared.train(score=0.8)
    push(shared, cluster)
    commit = shared.git("rev-parse", "HEAD")
    wait_for(lambda: json.loads(cluster.state.read_text())["commit"] == commit or None)
    release(cluster, "promote", "--stage", "production")
    for process, address in replicas:
        wait_for(lambda at=address: version(at) == "v1.1.0" or None, process, 40)
    late, late_at = cluster.api("three")
    assert wait_for(lambda: version(late_at), late) == "v1.1.0"
    release(cluster, "rollback")
    for process, address in [*replicas, (late, late_at)]:
        wait_for(lambda at=address: version(at) == "v1.0.0" or None, process, 40)
    wait_for(lambda: 'version="v1.0.0"' in cluster.figures.read_text() or None)
    assert wish(late_at, "v1.1.0")["version"] == "v1.1.0"
    for process, address in [*replicas, (late, late_at)]:
        wait_for(lambda at=address: version(at) == "v1.1.0" or None, process, 60)
    assert "detector#production#4" in shared.tags(shared.origin)
    assert json.loads(cluster.state.read_text())["problems"] == []
    late.send_signal(signal.SIGTERM)
    assert late.wait(35) in (0, -signal.SIGTERM), "longer than its grace"
