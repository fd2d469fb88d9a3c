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


def test_too_little_disk_and_memory_are_said(ready):
    _, failed, _ = lines(ready, MIN_DISK_GB="999999", MIN_MEMORY_GB="999999")
    assert {line.split()[1] for line in failed if "port:" not in line} == {"disk:", "memory:"}


def test_more_cpus_than_there_are_is_refused(ready):
    ready.set("API_CPUS", "4096")
    _, failed, _ = lines(ready)
    assert any("API_CPUS is 4096" in line for line in failed)


def test_missing_model_and_project_are_said(ready):
    (ready.root / "models" / "bundle" / "manifest.json").unlink()
    (ready.root / ".git").rmdir()
    _, failed, _ = lines(ready)
    assert any("model:" in line and "models/bundle" in line for line in failed)
    assert any("project:" in line and "PROJECT_GIT_DIR" in line for line in failed)


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
