"""The preflight: what it refuses, by name. It runs whether or not an engine is here; that is one of its lines."""

import socket
import subprocess

import pytest


@pytest.fixture
def ready(host):
    """A host with settings, a bundle and a project."""
    host.run("deployment/make_settings.sh")
    (host.root / "models" / "bundle").mkdir(parents=True)
    (host.root / "models" / "bundle" / "manifest.json").write_text("{}")
    (host.root / ".git").mkdir()
    return host


def lines(host, **environment):
    status, said = host.run("deployment/preflight.sh", **environment)
    failed = [line for line in said.splitlines() if line.startswith("FAIL") and "docker:" not in line]
    return status, [line for line in failed if "compose:" not in line], said


def test_a_ready_host_fails_nothing_but_what_it_lacks(ready):
    _, failed, said = lines(ready, MIN_DISK_GB="0", MIN_MEMORY_GB="0")
    assert [line for line in failed if "port:" not in line] == [], said
    assert "pass  secrets: 9" in said


def test_the_secret_of_wishes_is_needed_where_they_are_on(ready):
    ready.set("RELEASE_SECRET", "")
    assert "pass  secrets: 8" in lines(ready)[2]
    ready.set("RELEASES_FROM_PAGE", "on")
    assert any("RELEASE_SECRET is empty" in line for line in lines(ready)[1])
    ready.set("RELEASES_FROM_PAGE", "off")
    ready.set("RELEASE_SECRET", "CHANGE_ME")
    assert any("RELEASE_SECRET is a placeholder" in line for line in lines(ready)[1]), "the api would not start"
    ready.set("RELEASES_FROM_PAGE", "yes")
    assert any("RELEASES_FROM_PAGE is yes; on or off is allowed" in line for line in lines(ready)[1])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("CHANGE_ME", "placeholder"),
        ("", "empty"),
        ("short1234567", "32 are needed"),
        ("a" * 40, "32 are needed"),
        ("my-password-is-very-long-0123456789abcdef", "placeholder"),
        ("0123456789abcdef0123456789abcdef/@:", "letters, digits"),
    ],
)
def test_weak_secrets_are_refused(ready, value, reason):
    ready.set("REDIS_PASSWORD", value)
    status, failed, _ = lines(ready)
    assert status == 1
    assert any("REDIS_PASSWORD" in line and reason in line for line in failed), failed


def test_a_secret_used_twice_is_refused(ready):
    for name in ("JWT_SECRET", "SECRET_KEY"):
        ready.set(name, "0123456789abcdef0123456789abcdef")
    _, failed, _ = lines(ready)
    assert any("SECRET_KEY is used twice" in line for line in failed)


def test_settings_that_others_can_read_are_refused(ready):
    ready.settings.chmod(0o644)
    _, failed, _ = lines(ready)
    assert any("others can read" in line for line in failed)


def test_a_taken_port_is_named(ready):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ready.set("FRONTEND_PORT", taken.getsockname()[1])
        _, failed, _ = lines(ready)
        assert any(f"FRONTEND_PORT {taken.getsockname()[1]} is taken" in line for line in failed)


@pytest.mark.parametrize(("bind", "listens"), [("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "127.0.0.1")])
def test_only_a_listener_on_the_same_address_is_in_the_way(ready, bind, listens):
    """A port is probed where it is to be published."""
    with socket.socket() as taken:
        taken.bind((listens, 0))
        taken.listen()
        ready.set("API_PORT", taken.getsockname()[1])
        ready.set("BIND_ADDRESS", bind)
        assert any("API_PORT" in line for line in lines(ready)[1]) == (bind == listens)
        ready.set("FRONTEND_PORT", taken.getsockname()[1])
        assert any("FRONTEND_PORT" in line and "taken" in line for line in lines(ready)[1]), "0.0.0.0 is everywhere"


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"API_PORT": 8080}, "port: API_PORT is 8080, as FRONTEND_PORT is"),
        ({"REDIS_PORT": 5000}, "port: REDIS_PORT is 5000, as MLFLOW_PORT is"),
        ({"API_PORT": 8080, "FRONTEND_BIND": "192.0.2.7"}, ""),
        ({"GRAFANA_PORT": 8080}, ""),
        ({"GRAFANA_PORT": 8080, "COMPOSE_PROFILES": "monitoring"}, "port: GRAFANA_PORT is 8080"),
        ({"API_PORT": "8000/tcp"}, "port: API_PORT is '8000/tcp'; a number is allowed"),
    ],
)
def test_two_settings_do_not_share_a_port(ready, changed, failed):
    for name, value in changed.items():
        ready.set(name, value)
    said = [line for line in lines(ready)[1] if "each needs its own" in line or "a number is allowed" in line]
    assert (len(said) == 1 and failed in said[0]) if failed else said == [], said


def test_too_little_disk_and_memory_are_said(ready):
    _, failed, _ = lines(ready, MIN_DISK_GB="999999", MIN_MEMORY_GB="999999")
    assert {line.split()[1] for line in failed if "port:" not in line} == {"disk:", "memory:"}


@pytest.mark.parametrize("service", ["API", "DATABASE", "MLFLOW", "REDIS", "FRONTEND", "DVC", "TRAINING"])
def test_more_cpus_than_there_are_is_refused(ready, service):
    ready.set(f"{service}_CPUS", "4096")
    _, failed, _ = lines(ready)
    assert any(f"{service}_CPUS is 4096" in line for line in failed)


@pytest.mark.parametrize(
    ("engine", "compose", "failed"),
    [
        ("25.0.0", "2.20.2", []),
        ("28.2.2", "v2.40.1", []),
        ("24.0.9", "2.20.2", ["docker: engine 24.0.9; 25 or newer is needed"]),
        ("9.1", "2.20.1", ["docker: engine 9.1; 25 or newer", "compose: 2.20.1; 2.20.2 or newer"]),
    ],
)
def test_versions_that_lack_what_is_used_are_refused(ready, docker, engine, compose, failed):
    made = docker(f'"version --format"*) echo {engine} ;; "compose version --short") echo {compose} ;;')
    said = ready.run("deployment/preflight.sh", **made.environment)[1].splitlines()
    seen = [line for line in said if line.startswith(("FAIL  docker:", "FAIL  compose:"))]
    assert len(seen) == len(failed) and all(want in line for want, line in zip(failed, seen, strict=True)), seen


def test_missing_model_and_project_are_said(ready):
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    (ready.root / ".git").rmdir()
    _, failed, _ = lines(ready)
    assert any("model:" in line and "models/bundle" in line for line in failed)
    assert any("project:" in line and "PROJECT_GIT_DIR" in line for line in failed)


VOLUME = '"volume inspect --format"*) echo /nowhere ;;'
ABSENT = '"volume inspect"*) exit 1 ;;'
ANOTHER = '"image ls --filter reference=pindet-* --format"*) echo pindet-api-gpu:v0.9.0 ;;'
THERE = '*"pindet-api-gpu:v0.9.0 -f /dvc/remote/releases/detector/production.json") exit 0 ;;'
NOT_THERE = "run*) exit 1 ;;"
BROKEN = "run*) exit 125 ;;"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((ABSENT, THERE), "FAIL  model: nothing is released"),
        ((VOLUME, ANOTHER, THERE, BROKEN), "pass  model: a release is in the DVC remote"),
        ((VOLUME, ANOTHER, NOT_THERE), "FAIL  model: nothing is released"),
        ((VOLUME, ANOTHER, BROKEN), "warn  model: models/bundle has no bundle; whether the DVC remote"),
        ((VOLUME, BROKEN), "warn  model: models/bundle has no bundle; whether the DVC remote"),
    ],
    ids=["no-volume", "released", "empty-volume", "engine-fails", "no-image"],
)
def test_a_release_counts_whichever_image_is_here(ready, docker, answers, said):
    """After a restore, for a new version, and with a GPU, the image that is going to serve is not built yet."""
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    ready.set("PINDET_VERSION", "v1.0.0")
    made = docker("\n".join(answers))
    assert said in ready.run("deployment/preflight.sh", **made.environment)[1]
    status, only = ready.run("deployment/preflight.sh", "--model", **made.environment)
    assert status == said.startswith("FAIL") and said in only and "secrets" not in only


def test_a_release_is_seen_where_the_volume_lies(ready, docker, tmp_path):
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    made = docker(f'"volume inspect --format"*) echo {tmp_path}/volume ;; run*) exit 1 ;;')
    (tmp_path / "volume" / "releases" / "detector").mkdir(parents=True)
    assert "FAIL  model:" in ready.run("deployment/preflight.sh", "--model", **made.environment)[1]
    (tmp_path / "volume" / "releases" / "detector" / "production.json").touch()
    assert "pass  model: a release" in ready.run("deployment/preflight.sh", "--model", **made.environment)[1]


def test_the_start_looks_for_a_model_again_once_the_images_are_there(ready, docker):
    """What the preflight could not see stops the start before anything runs."""
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    sockets = [socket.socket() for _ in range(5)]
    for name, free in zip(("FRONTEND", "API", "MLFLOW", "POSTGRES", "REDIS"), sockets, strict=True):
        free.bind(("127.0.0.1", 0))
        ready.set(f"{name}_PORT", free.getsockname()[1])
    for free in sockets:
        free.close()
    built = ready.root / "built"
    made = docker(
        '"version --format"*) echo 25.0.0 ;; "compose version --short") echo 2.40.0 ;;\n'
        f'"image inspect"*) exit 1 ;; *" build") touch {built} ;;\n'
        f'"image ls"*) [ ! -e {built} ] || echo pindet-api:dev ;;\n{VOLUME}\n{NOT_THERE}'
    )
    status, said = ready.run(
        "deployment/start_production_with_mlops.sh", MIN_DISK_GB="0", MIN_MEMORY_GB="0", **made.environment
    )
    assert status == 1 and "warn  model:" in said and "FAIL  model: nothing is released" in said, said
    assert not [line for line in made.asked() if " up " in line]


def test_a_release_on_s3_is_for_the_api_to_find(ready, docker):
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    ready.set("PINDET_SOURCE", "s3://bucket/releases/detector/production.json")
    said = ready.run("deployment/preflight.sh", "--model", **docker(ABSENT).environment)[1]
    assert "warn  model: PINDET_SOURCE is s3://bucket" in said


def test_missing_settings_are_said(host):
    _, failed, _ = lines(host)
    assert any("--init" in line for line in failed)


def test_certificate_and_key_must_fit(ready):
    ready.set("TLS", "on")
    assert any("tls:" in line and "needed" in line for line in lines(ready)[1])
    status, said = ready.run("deployment/make_certificate.sh", "plant-7.local", "10.0.0.7")
    assert status == 0, said
    tls = ready.root / "config" / "tls"
    assert (tls / "privkey.pem").stat().st_mode & 0o077 == 0
    assert not any("tls:" in line for line in lines(ready)[1])
    shown = subprocess.run(
        ["openssl", "x509", "-in", tls / "fullchain.pem", "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:plant-7.local" in shown and "IP Address:10.0.0.7" in shown
    subprocess.run(["openssl", "genrsa", "-out", tls / "privkey.pem"], check=True, capture_output=True)
    assert any("not the certificate's key" in line for line in lines(ready)[1])


def test_dry_run_changes_nothing(host):
    before = sorted(host.root.iterdir())
    status, said = host.run("deployment/start_production_with_mlops.sh", "--init", "--dry-run")
    assert status == 1, "a host without model and project was found ready"
    assert "would write" in said and "would start: database redis api frontend mlflow dvc" in said
    assert "pass  secrets" in said
    assert sorted(host.root.iterdir()) == before


def test_unknown_argument_is_refused(host):
    status, said = host.run("deployment/start_production_with_mlops.sh", "--stopp")
    assert status == 1 and "--stopp" in said
