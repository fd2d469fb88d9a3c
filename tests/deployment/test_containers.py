"""The stack in real containers, from nothing to restored. `make test-containers` runs it; it takes its time.

Needs a Docker engine, the base images, and a bundle: models/bundle of this project, or of the folder that
PINDET_TEST_WORKSPACE names. It refuses to run where a stack lives, as the names of volumes are fixed.
"""

import collections
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).parents[2]
WORKSPACE = Path(os.environ.get("PINDET_TEST_WORKSPACE", PROJECT))
SERVICES = ("database", "redis", "api", "frontend", "mlflow", "dvc")
WRITTEN_WITHIN_S = 2.0
"""What a replica answered this long before it is killed may be missing in the history."""
SHORT = ("data.train_images=24", "data.val_images=8", "data.test_images=8", "training.epochs=2")
pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("PINDET_TEST_CONTAINERS"), reason="runs in make test-containers only"),
]


def docker(*arguments):
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Stack:
    """A clone of the project on which the scripts run."""

    def __init__(self, root):
        self.root = root

    def script(self, name, *arguments):
        """Run a script; its exit status and what it said."""
        done = subprocess.run(
            [str(self.root / "scripts" / name), *arguments], cwd=self.root, capture_output=True, text=True, check=False,
            env={name: value for name, value in os.environ.items() if name != "PINDET_ROOT"},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def compose(self, *arguments):
        files = ["-f", "docker-compose.prod.yml", "-f", "docker-compose.prod.mlops.yml"]
        done = subprocess.run(
            ["docker", "compose", "--env-file", ".env.prod", *files, *arguments], cwd=self.root, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def setting(self, name, *default):
        found = (line.split("=", 1)[1] for line in self.settings().splitlines() if line.startswith(f"{name}="))
        return next(found, *default)

    def settings(self):
        return (self.root / ".env.prod").read_text()

    def set(self, **values):
        text = self.settings()
        for name, value in values.items():
            text = text.replace(f"{name}={self.setting(name)}\n", f"{name}={value}\n")
        (self.root / ".env.prod").write_text(text)

    def containers(self, service):
        return self.compose("ps", "--quiet", service).split()

    def kill(self, service):
        """End the first process of one of a service's containers, as the kernel would."""
        os.kill(int(docker("inspect", "-f", "{{.State.Pid}}", self.containers(service)[0])), 9)

    def wait_healthy(self, service, seconds=180):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ids = self.containers(service)
            if ids and set(docker("inspect", "-f", "{{.State.Health.Status}}", *ids).split()) == {"healthy"}:
                return
            time.sleep(1)
        pytest.fail(f"{service} is not healthy after {seconds} s:\n{self.compose('logs', '--tail', '20', service)}")

    @contextmanager
    def client(self):
        """A client of the proxy, signed in as the administrator."""
        scheme = "https" if self.setting("TLS") == "on" else "http"
        port = self.setting("FRONTEND_PORT")
        with httpx.Client(base_url=f"{scheme}://localhost:{port}", verify=False, timeout=240) as client:
            form = {"username": self.setting("ADMIN_USER"), "password": self.setting("ADMIN_PASSWORD")}
            answer = client.post("/v1/auth/token", data=form)
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            yield client

    @contextmanager
    def mlflow(self):
        """A client of MLflow's own port, signed in as its administrator."""
        signed = self.setting("MLFLOW_ADMIN_USER"), self.setting("MLFLOW_ADMIN_PASSWORD")
        address = f"http://127.0.0.1:{self.setting('MLFLOW_PORT')}"
        with httpx.Client(base_url=address, auth=signed, timeout=60) as client:
            yield client

    def give_away(self):
        """The clone to the user of the containers, as it is an operator's own where no one is root."""
        user = f"{self.setting('PINDET_UID')}:{self.setting('PINDET_GID')}"
        subprocess.run(["chown", "-R", user, str(self.root)], check=True)

    def git(self, *arguments):
        options = ["-c", "safe.directory=*", "-c", "user.name=operator", "-c", "user.email=operator@localhost"]
        command = ["git", *options, *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.give_away()

    def release(self, *arguments, expected=0):
        """What ``release`` says in the agent's container."""
        command = ["docker", "exec", self.containers("dvc")[0], "release", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == expected, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def wait_served(self, bundles, version, seconds=60):
        """Wait until every replica serves a version, and return the md5 of its bundle; ``bundles`` if it is known."""
        until = time.monotonic() + seconds
        with self.client() as client:
            while True:
                models = [client.get("/v1/model").json() for _ in range(8)]
                if {model["version"] for model in models} == {version}:
                    served = {model["md5"] for model in models}
                    assert bundles in (None, served)
                    return served
                assert time.monotonic() < until, models
                time.sleep(1)

    def wait_recorded(self, since_ms, requests, seconds=60):
        """Wait until the history has the answers to these requests."""
        assert len(requests) > 10
        until = time.monotonic() + seconds
        with self.client() as client:
            while missing := requests - recorded(client, since_ms):
                assert time.monotonic() < until, f"{len(missing)} of {len(requests)} answers are not in the history"
                time.sleep(1)

    def begin_job(self, images):
        """Send a zip of images as a job; its id."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for number in range(images):
                archive.writestr(f"{number:04}.png", self.image())
        with self.client() as client:
            answer = client.post("/v1/jobs", content=buffer.getvalue(), headers={"Content-Type": "application/zip"})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

    def wait_job(self, job, images, seconds=240):
        """Wait until a job is finished, whoever is asked, and see that each of its images has its line."""
        until = time.monotonic() + seconds
        with self.client() as client:
            while True:
                seen = [client.get(f"/v1/jobs/{job}").raise_for_status().json() for _ in range(4)]
                if {one["status"] for one in seen} == {"finished"}:
                    break
                assert time.monotonic() < until, seen
                time.sleep(1)
            lines = client.get(f"/v1/jobs/{job}/result").raise_for_status().text.splitlines()
        assert [json.loads(line)["index"] for line in lines] == list(range(images))
        assert all(json.loads(line)["detections"] for line in lines)

    def image(self):
        return sorted((self.root / "models" / "bundle" / "golden").glob("*.png"))[0].read_bytes()


def recorded(client, since_ms):
    """The requests whose answers are in the history."""
    found, page = set(), {"since_ms": since_ms, "limit": 500}
    while True:
        answer = client.get("/v1/detections", params=page).json()
        found |= {image["request_id"] for image in answer["images"]}
        if answer["next_before_id"] is None:
            return found
        page["before_id"] = answer["next_before_id"]


class Load:
    """Asks for detections until told to stop; counts what is answered, and keeps when each answered request was."""

    def __init__(self, stack):
        self._stack, self._stop = stack, threading.Event()
        self.answers, self.bad, self.answered = collections.Counter(), [], {}

    def __enter__(self):
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _ask(self):
        image = self._stack.image()
        with self._stack.client() as client:
            while not self._stop.wait(0.1):
                try:
                    answer = client.post("/v1/detect", content=image, headers={"Content-Type": "image/png"})
                    found = answer.status_code == 200 and answer.json()["images"][0]["detections"]
                    self.answers["found" if found else str(answer.status_code)] += 1
                    if found:
                        self.answered[answer.headers["X-Request-ID"]] = time.time()
                    else:
                        self.bad.append(answer.text[:200])
                except httpx.HTTPError as error:
                    self.answers[type(error).__name__] += 1


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    if not (WORKSPACE / "models" / "bundle" / "manifest.json").is_file():
        pytest.skip("no models/bundle; run make repro, or name a workspace in PINDET_TEST_WORKSPACE")
    if "pindet_database" in docker("volume", "ls", "--quiet").split():
        pytest.skip("a stack lives on this host; this test would take its volumes")
    # Releases of this project have objects that the test's own DVC remote lacks: their tags stay behind.
    root = tmp_path_factory.mktemp("host") / "pindet"
    subprocess.run(["git", "clone", "--quiet", "--no-tags", str(PROJECT), str(root)], check=True)
    shutil.copytree(WORKSPACE / "models" / "bundle", root / "models" / "bundle")
    for folder in (root, *root.parents[:3]):
        folder.chmod(0o755)
    made = Stack(root)
    assert made.script("deployment/make_settings.sh")[0] == 0
    ports = {}
    for name in ("FRONTEND_PORT", "API_PORT", "MLFLOW_PORT", "POSTGRES_PORT", "REDIS_PORT"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports[name] = free.getsockname()[1]
    made.set(**ports, API_REPLICAS=2)
    yield made
    made.compose("down", "--volumes")


def marks(stack, images=20):
    """What must be there again: users, history, the model, an answer, runs."""
    with stack.client() as client:
        answer = client.post("/v1/detect?record=false", content=stack.image(), headers={"Content-Type": "image/png"})
        with stack.mlflow() as mlflow:
            wanted = {"experiment_ids": ["1", "2"], "run_view_type": "ALL"}
            runs = mlflow.post("/api/2.0/mlflow/runs/search", json=wanted).json()["runs"]
            artifacts = {run["info"]["run_id"]: artifacts_of(mlflow, run["info"]["run_id"]) for run in runs}
        return {
            "users": [user["name"] for user in client.get("/v1/users").json()],
            "history": [image["id"] for image in client.get(f"/v1/detections?limit={images}").json()["images"]],
            "model": client.get("/v1/model").json()["md5"],
            "detections": answer.json()["images"][0]["detections"],
            "runs": {
                run["info"]["run_id"]: sorted((each["key"], each["value"]) for each in run["data"].get("metrics", []))
                for run in runs
            },
            "artifacts": artifacts,
        }


def artifacts_of(mlflow, run, folder=""):
    """The files of a run and what is in them, as its digest."""
    listed = mlflow.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run, "path": folder}).json()
    found = {}
    for each in listed.get("files", []):
        if each.get("is_dir"):
            found |= artifacts_of(mlflow, run, each["path"])
        else:
            content = mlflow.get("/get-artifact", params={"run_uuid": run, "path": each["path"]}).raise_for_status()
            found[each["path"]] = hashlib.sha256(content.content).hexdigest()
    return found


def test_from_nothing_to_checked(stack):
    status, said = stack.script("deployment/start_production_with_mlops.sh", "--build", "--skip-check")
    assert status == 0, said
    status, said = stack.script("deployment/start_production_with_mlops.sh", "--status")
    assert status == 0 and "check: all passed" in said, said


def test_the_guides_two_commands_work_one_after_the_other(stack):
    for file in ("docker-compose.prod.yml", "docker-compose.prod.mlops.yml"):
        done = subprocess.run(
            ["docker", "compose", "--env-file", ".env.prod", "-f", file, "up", "-d"], cwd=stack.root,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "orphan" not in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_runs_as_root_or_writes_to_its_image(stack, service):
    container = stack.containers(service)[0]
    assert docker("exec", container, "id", "-u").strip() != "0"
    assert "Read-only" in docker("exec", container, "sh", "-c", "touch /probe 2>&1 || true")


@pytest.mark.parametrize("service", SERVICES)
def test_images_have_no_tools_to_build_with(stack, service):
    found = docker("exec", stack.containers(service)[0], "sh", "-c", "command -v gcc cc g++ make cargo || true")
    assert not found.strip()


def test_api_image_is_small():
    assert int(docker("image", "inspect", "-f", "{{.Size}}", "pindet-api:dev")) < 600e6


def test_detection_is_answered_while_everything_is_killed_in_turn(stack):
    """And nothing is lost: users, runs, the model, what was detected before, and what was answered meanwhile."""
    since = int(time.time() * 1000)
    before = marks(stack)
    with Load(stack) as load:
        for service in ("redis", "database", "mlflow", "dvc"):
            stack.kill(service)
            time.sleep(3)
        for service in SERVICES:
            stack.wait_healthy(service)
        stack.wait_recorded(since, set(load.answered))
        job = stack.begin_job(600)
        began = time.time()
        stack.kill("api")
        killed = time.time() + 1  # what it sent last may just be on its way
        time.sleep(3)
        stack.wait_healthy("api")
    assert set(load.answers) == {"found"}, (load.answers, load.bad[:3])
    stack.wait_job(job, 600)
    stack.wait_recorded(since, {
        request for request, at in load.answered.items() if not began - WRITTEN_WITHIN_S < at <= killed
    })  # fmt: skip
    after = marks(stack, 500)
    assert set(before.pop("history")) <= set(after["history"])
    assert before == {name: after[name] for name in before}
    status, said = stack.script("deployment/post_deploy_check.sh")
    assert status == 0, said


def test_a_killed_proxy_returns(stack):
    """While it is away nothing is answered; nothing is answered wrongly either."""
    with Load(stack) as load:
        stack.kill("frontend")
        time.sleep(1)
        stack.wait_healthy("frontend")
        time.sleep(1)
        answered = load.answers["found"]
        time.sleep(2)
    assert load.answers["found"] > answered > 0
    assert not load.bad


def test_mlflows_page_lists_the_experiments(stack, chromium):
    """In a browser, behind the proxy and MLflow's own sign-in: the page asks its API by the proxy's path."""
    signed = {"username": stack.setting("MLFLOW_ADMIN_USER"), "password": stack.setting("MLFLOW_ADMIN_PASSWORD")}
    page = chromium.new_context(http_credentials=signed).new_page()
    page.goto(f"http://localhost:{stack.setting('FRONTEND_PORT')}/mlflow/#/experiments")
    page.get_by_text(stack.setting("MLFLOW_EXPERIMENT_NAME")).first.wait_for(timeout=90_000)


def test_the_page_works_behind_the_proxy(stack, chromium):
    """Its policy, its limits, its compression and the socket are those of nginx here."""
    said = []
    page = chromium.new_context(locale="en-GB").new_page()
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if "Content Security Policy" in message.text else None)
    page.goto(f"http://localhost:{stack.setting('FRONTEND_PORT')}/#/try")
    page.fill("#name", stack.setting("ADMIN_USER"))
    page.fill("#password", stack.setting("ADMIN_PASSWORD"))
    page.press("#password", "Enter")
    page.locator("#connection", has_text="Live").wait_for()
    page.set_input_files(
        "input[type=file]", [{"name": "golden.png", "mimeType": "image/png", "buffer": stack.image()}]
    )
    page.locator(".found", has_text="shown").wait_for()
    assert not said

    web, sent = stack.root / "serve" / "pindet_serve" / "web", 0
    with stack.client() as client:
        for file in web.rglob("*.*"):
            if file.suffix in {".js", ".css", ".svg", ".html"}:
                path = "/" if file.name == "index.html" else f"/web/{file.relative_to(web).as_posix()}"
                sent += client.get(path, headers={"Accept-Encoding": "gzip"}).raise_for_status().num_bytes_downloaded
    assert 20_000 < sent < 120_000


def test_passwords_are_changed_as_the_guide_says(stack):
    """Then everything signs in with the new ones; the check after a start says so."""
    new = {name: secrets.token_hex(24) for name in ("ADMIN", "MLFLOW_ADMIN", "POSTGRES", "MLFLOW_DB")}
    with stack.client() as client:
        client.patch(f"/v1/users/{stack.setting('ADMIN_USER')}", json={"password": new["ADMIN"]}).raise_for_status()
    status, said = stack.script("deployment/post_deploy_check.sh")
    assert status == 0, said
    program = ["exec", "--interactive", stack.containers("mlflow")[0], "python", "/opt/mlflow/stack/new_password.py"]
    typed = f"{new['MLFLOW_ADMIN']}\n" * 2
    done = subprocess.run(["docker", *program], input=typed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for role, name in (("pindet", "POSTGRES"), ("mlflow", "MLFLOW_DB")):
        statement = f"ALTER ROLE {role} PASSWORD '{new[name]}'"
        stack.compose("exec", "-T", "database", "psql", "-U", "pindet", "-c", statement)
    stack.set(**{f"{name}_PASSWORD": value for name, value in new.items()})
    status, said = stack.script("deployment/start_production_with_mlops.sh")
    assert status == 0 and "check: all passed" in said, said


def test_an_image_that_does_not_get_healthy_leaves_the_old_one_serving(stack, monkeypatch):
    before = set(stack.containers("api"))
    broken = "FROM pindet-api:dev\nHEALTHCHECK --interval=1s CMD false\nCMD sleep 600\n"
    command = ["docker", "build", "--quiet", "--tag", "pindet-api:broken", "-"]
    subprocess.run(command, input=broken, text=True, check=True, capture_output=True)
    monkeypatch.setenv("WAIT_SECONDS", "20")
    stack.set(PINDET_VERSION="broken")
    try:
        with Load(stack) as load:
            status, said = stack.script("operations/upgrade")
    finally:
        stack.set(PINDET_VERSION="dev")
        docker("image", "rm", "--force", "pindet-api:broken")
    assert status == 1 and "the old ones stay" in said
    assert set(load.answers) == {"found"}, (load.answers, load.bad[:3])
    assert set(stack.containers("api")) == before


def test_upgrade_to_another_version_leaves_no_gap(stack):
    before = set(stack.containers("api"))
    package = stack.root / "serve" / "pyproject.toml"
    version = re.search(r'^version = "(.+)"$', package.read_text(), re.MULTILINE)
    package.write_text(package.read_text().replace(version[0], f'version = "{version[1]}.post1"'))
    stack.set(PINDET_VERSION="dev2")
    status, said = stack.script("deployment/compose", "build")
    assert status == 0, said
    job = stack.begin_job(1000)
    with Load(stack) as load:
        status, said = stack.script("operations/upgrade")
        assert status == 0, said
    assert set(load.answers) == {"found"}, (load.answers, load.bad[:3])
    stack.wait_job(job, 1000)
    assert len(stack.containers("api")) == 2 and not before & set(stack.containers("api"))
    status, said = stack.script("deployment/start_production_with_mlops.sh")
    assert status == 0 and "check: all passed" in said, said
    with stack.client() as client:
        assert {client.get("/openapi.json").json()["info"]["version"] for _ in range(8)} == {f"{version[1]}.post1"}
    for service in ("api", "frontend", "mlflow", "dvc"):
        images = docker("inspect", "-f", "{{.Config.Image}}", *stack.containers(service)).split()
        assert set(images) == {f"pindet-{service}:dev2"}


def test_a_day_from_training_to_rollback(stack):
    """Trained in a container, promoted by the agent, followed by two replicas under load, rolled back on the page."""
    with stack.client() as client:
        first = client.get("/v1/model").json()["md5"]
    shutil.copytree(WORKSPACE / ".dvc" / "cache", stack.root / "dvc_cache", dirs_exist_ok=True)
    stack.set(RELEASES_FROM_PAGE="on")
    stack.give_away()
    stack.compose("up", "--detach", "--wait", "dvc")
    with Load(stack) as load:
        stack.release("promote", "--stage", "production")
        stack.wait_served({first}, "v1.0.0")

        stack.compose("run", "--rm", "training", "dvc", "cache", "dir", "--local", "dvc_cache")
        stack.compose("run", "--rm", "training", "pindet", "params", *SHORT)
        stack.compose("run", "--rm", "training", "dvc", "repro")
        stack.commit("A short training")
        assert "closed" in stack.release("promote", "--stage", "production", expected=3)
        stack.release("promote", "--stage", "production", "--override-comparison", "to see it followed and taken back")
        second = stack.wait_served(None, "v1.1.0")
        assert first not in second
        assert "run" in stack.release("lineage", "v1.1.0")

        with stack.client() as client:
            wish = {"version": "v1.0.0", "kind": "rollback"}
            answer = client.post("/v1/releases/production", json=wish)
            assert answer.status_code == 202, answer.text
        stack.wait_served({first}, "v1.0.0")
    assert set(load.answers) <= {"found", "200"}, (load.answers, load.bad[:3])
    status, said = stack.script("deployment/post_deploy_check.sh")
    assert status == 0, said


def test_cleanup_removes_what_nothing_refers_to_and_no_released_object(stack):
    with stack.mlflow() as mlflow:
        versions = mlflow.get("/api/2.0/mlflow/model-versions/search").json()["model_versions"]
        runs = {version["run_id"] for version in versions if version.get("run_id")}
        # That of v1.0.0 was trained elsewhere: this server never had it.
        registered = {run for run in runs if mlflow.get("/api/2.0/mlflow/runs/get", params={"run_id": run}).is_success}
        for run in registered:
            mlflow.post("/api/2.0/mlflow/runs/delete", json={"run_id": run}).raise_for_status()
    remote, unused = "/dvc/remote/files/md5", "ab/" + "c" * 30
    agent = stack.containers("dvc")[0]
    docker("exec", agent, "sh", "-c", f"mkdir -p {remote}/ab && echo unused > {remote}/{unused}")
    before = set(docker("exec", agent, "find", remote, "-type", "f").split())
    status, said = stack.script("operations/cleanup", "--days", "0")
    assert status == 0 and "nothing was removed" in said, said
    assert set(docker("exec", agent, "find", remote, "-type", "f").split()) == before
    status, said = stack.script("operations/cleanup", "--days", "0", "--yes")
    assert status == 0, said
    after = set(docker("exec", agent, "find", remote, "-type", "f").split())
    assert f"{remote}/{unused}" in before - after, said
    for version in ("v1.0.0", "v1.1.0"):
        assert version in stack.release("lineage", version, "--thorough")
    with stack.mlflow() as mlflow:
        for run in registered:
            kept = mlflow.get("/api/2.0/mlflow/runs/get", params={"run_id": run}).raise_for_status().json()["run"]
            assert kept["info"]["lifecycle_stage"] == "active", said
    assert registered


def test_tls_headers_and_limits(stack):
    assert stack.script("deployment/make_certificate.sh", "localhost")[0] == 0
    stack.set(TLS="on")
    stack.compose("up", "--detach", "--no-deps", "frontend")
    stack.wait_healthy("frontend")
    port = stack.setting("FRONTEND_PORT")
    plain = httpx.get(f"http://localhost:{port}/docs")
    assert (plain.status_code, plain.headers["location"]) == (308, f"https://localhost:{port}/docs")
    with stack.client() as client:
        page = client.get("/")
        assert "max-age" in page.headers["strict-transport-security"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/metrics").status_code == 404
        assert httpx.get(f"https://localhost:{port}/mlflow/", verify=False).status_code == 401
        assert client.get("/mlflow/", headers={"Origin": "https://elsewhere.example"}).status_code == 403
        large = b"\0" * (int(stack.setting("MAX_BODY_MB", "32")) + 5) * 2**20
        assert client.post("/v1/detect", content=large, headers={"Content-Type": "image/png"}).status_code == 413
        job = client.post("/v1/jobs", content=large, headers={"Content-Type": "application/zip"})
        assert job.status_code in {400, 415}, job.text
        with ThreadPoolExecutor(16) as pool:
            burst = collections.Counter(pool.map(lambda _: client.get("/v1/model").status_code, range(400)))
        assert burst[200] >= 100 and burst[429] > 0 and burst[200] + burst[429] == 400, burst
        guesses = [client.post("/v1/auth/token", data={"username": "nobody", "password": "x"}) for _ in range(20)]
        assert guesses[0].status_code == 401 and guesses[-1].status_code == 429
    time.sleep(60)  # the limit is per minute, and the next test signs in


def test_backup_is_restored_into_an_empty_stack(stack, tmp_path):
    with stack.client() as client:
        client.post("/v1/detect", content=stack.image(), headers={"Content-Type": "image/png"}).raise_for_status()
        until = time.monotonic() + 30
        while not client.get("/v1/detections?limit=1").json()["images"]:
            assert time.monotonic() < until, "what was detected is not in the history"
            time.sleep(1)
    agent = stack.containers("dvc")[0]
    # What comes and goes in the remote's folders meanwhile is no reason to have no backup.
    busy = "while [ ! -e /tmp/enough ]; do touch /dvc/remote/releases/.busy; rm /dvc/remote/releases/.busy; done"
    writing = subprocess.Popen(["docker", "exec", agent, "sh", "-c", busy])
    try:
        status, said = stack.script("operations/backup")
    finally:
        docker("exec", agent, "touch", "/tmp/enough")
        writing.wait(30)
    assert status == 0, said
    before, tags = marks(stack), stack.git("show-ref", "--tags", "--heads")
    backup = next((stack.root / "backups").glob("pindet-*"))
    assert "  project.bundle\n" in (backup / "SHA256SUMS").read_text()
    assert stack.script("operations/restore", str(backup))[0] == 1, "a living stack was overwritten"
    stack.compose("down", "--volumes")
    damaged = shutil.copytree(backup, tmp_path / backup.name)
    content = bytearray((damaged / "dvc_remote.tar").read_bytes())
    content[1000] ^= 1
    (damaged / "dvc_remote.tar").write_bytes(content)
    status, said = stack.script("operations/restore", str(damaged))
    assert status == 1 and "nothing was restored" in said
    for folder in ("mlruns", "models/bundle", "output", "config", ".git"):
        shutil.rmtree(stack.root / folder)
    status, said = stack.script("operations/restore", str(backup))
    assert status == 1 and "git clone" in said
    subprocess.run(["git", "clone", "--quiet", str(backup / "project.bundle"), str(tmp_path / "cloned")], check=True)
    shutil.move(tmp_path / "cloned" / ".git", stack.root / ".git")
    stack.give_away()
    status, said = stack.script("operations/restore", str(backup))
    assert status == 0, said
    assert stack.git("show-ref", "--tags", "--heads") == tags
    status, said = stack.script("deployment/start_production_with_mlops.sh", "--skip-check")
    assert status == 0, said
    after = marks(stack)
    assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True)
    assert before["history"] and before["detections"]
    assert any(before["runs"].values()) and any(before["artifacts"].values())


def test_stopped_and_started_again_all_is_still_there(stack, tmp_path, monkeypatch):
    """Without a bundle, too: what is released is in the DVC remote."""
    before = marks(stack)
    assert stack.script("deployment/start_production_with_mlops.sh", "--stop")[0] == 0
    assert not docker("ps", "--quiet", "--filter", "label=com.docker.compose.project=pindet").strip()
    bundle = stack.root / "models" / "bundle"
    shutil.move(bundle, tmp_path / "bundle")
    status, said = stack.script("deployment/start_production_with_mlops.sh", "--skip-check")
    assert status == 0 and "pass  model: a release is in the DVC remote" in said, said
    shutil.move(tmp_path / "bundle", bundle)
    assert marks(stack) == before
    monkeypatch.setenv("MAX_DISK_PERCENT", "100")  # the images of this test fill a small disk
    status, said = stack.script("operations/checks")
    assert status == 0, said


def test_a_dvc_remote_on_s3(stack, run_s3, tmp_path):
    """Moved there from the volume: the agent first, so that there is a release when the server looks for it."""
    boto3 = pytest.importorskip("boto3")
    (network,) = json.loads(docker("inspect", stack.containers("dvc")[0]))[0]["NetworkSettings"]["Networks"].values()
    with stack.client() as client:
        before = client.get("/v1/model").json()
    with run_s3(tmp_path, network["Gateway"]) as server:
        remote = "s3://factory/dvc"
        added = server.environment | {
            "AWS_ENDPOINT_URL": server.endpoint, "PINDET_SOURCE": f"{remote}/releases/detector/production.json",
        }  # fmt: skip
        boto3.client(
            "s3", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        ).create_bucket(Bucket="factory")  # fmt: skip
        stack.set(DVC_REMOTE_URL=remote)
        with (stack.root / ".env.prod").open("a") as settings:
            settings.writelines(f"{name}={value}\n" for name, value in added.items())
        stack.compose("up", "--detach", "--wait", "dvc")
        # As the guide says: first the objects, then the release files.
        docker("exec", stack.containers("dvc")[0], "sh", "-c", "cd /dvc/work/project && dvc push --quiet --all-tags")
        said = stack.release("reconcile")
        status, told = stack.script("deployment/start_production_with_mlops.sh")
        assert status == 0 and "check: all passed" in told, said + told
        served = stack.wait_served({before["md5"]}, before["version"])
        assert served == {before["md5"]}
