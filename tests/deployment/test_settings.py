"""The settings file: what it generates, and that files and guides speak of the same settings."""

import re
import stat
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COMPOSE = [
    PROJECT / "docker-compose.prod.yml", PROJECT / "docker-compose.prod.mlops.yml",
    PROJECT / "docker" / "compose.gpu.yml",
]  # fmt: skip
EXAMPLE = PROJECT / ".env.prod.example"
NAMES = {
    "POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_PORT", "REDIS_PASSWORD", "REDIS_PORT", "API_PORT",
    "FRONTEND_PORT", "MLFLOW_PORT", "SECRET_KEY", "JWT_SECRET", "LOG_LEVEL", "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME", "DVC_REMOTE_URL",
}  # fmt: skip
# Given by the scripts or by whoever builds, not settings of a host.
OF_BUILDS = {"PINDET_REVISION", "PINDET_OFFLINE"}


def offered(path=EXAMPLE):
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", path.read_text(), re.M))


def used():
    """In ``${NAME}``, or as a name without a value."""
    pattern = r"\$\{([A-Z][A-Z0-9_]*)|^  +([A-Z][A-Z0-9_]*):$"
    return {name for path in COMPOSE for pair in re.findall(pattern, path.read_text(), re.M) for name in pair if name}


def values(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if re.match(r"[A-Z][A-Z0-9_]*=", line))


def test_generated_settings_have_secrets_of_their_own(host):
    status, said = host.run("deployment/make_settings.sh")
    assert status == 0, said
    made = values(host.settings)
    secrets = [made[name] for name, value in values(EXAMPLE).items() if value == "CHANGE_ME"]
    assert len(secrets) == len(set(secrets)) == 9
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in secrets)
    assert stat.S_IMODE(host.settings.stat().st_mode) == 0o600
    assert made.keys() == values(EXAMPLE).keys()
    before = host.settings.read_text()
    status, said = host.run("deployment/make_settings.sh")
    assert status == 1 and "left as it is" in said
    assert host.settings.read_text() == before


def test_two_hosts_have_different_secrets(host, tmp_path):
    host.run("deployment/make_settings.sh")
    other = tmp_path / "other.env"
    host.run("deployment/make_settings.sh", PINDET_ENV_FILE=str(other))
    assert values(other)["JWT_SECRET"] != values(host.settings)["JWT_SECRET"]


def test_settings_of_an_older_version_are_completed_and_otherwise_left(host):
    host.run("deployment/make_settings.sh")
    before = values(host.settings)
    host.settings.write_text("\n".join(f"{n}={v}" for n, v in before.items() if n != "GRAFANA_PASSWORD") + "\nMINE=1\n")
    status, said = host.run("deployment/make_settings.sh", "--complete")
    assert status == 0 and said.count("added") == 1
    after = values(host.settings)
    assert re.fullmatch(r"[0-9a-f]{48}", after.pop("GRAFANA_PASSWORD"))
    assert after.pop("MINE") == "1"
    assert after == {name: value for name, value in before.items() if name != "GRAFANA_PASSWORD"}


def test_a_last_line_without_an_end_stays_what_it_was(host):
    host.run("deployment/make_settings.sh")
    before = host.settings.read_text()
    without = "".join(line for line in before.splitlines(True) if not line.startswith("GRAFANA_PASSWORD="))
    host.settings.write_text(without + "MINE=1")
    assert host.run("deployment/make_settings.sh", "--complete")[0] == 0
    after = values(host.settings)
    assert after["MINE"] == "1" and re.fullmatch(r"[0-9a-f]{48}", after["GRAFANA_PASSWORD"])


def test_example_has_no_secret():
    for name, value in values(EXAMPLE).items():
        if re.search(r"PASSWORD|SECRET", name) and name != "JWT_SECRET_PREVIOUS":
            assert value == "CHANGE_ME", name


def test_names_of_the_contract_are_offered():
    assert offered() >= NAMES


def test_every_setting_that_compose_reads_is_in_the_example():
    assert used() - offered() - OF_BUILDS - MINOR == set()


# Limits and names that nearly nobody changes; the guide lists them.
MINOR = {
    "REDIS_MAXMEMORY", "FRONTEND_CPUS", "FRONTEND_MEMORY", "DVC_CPUS", "DVC_MEMORY", "TRAINING_CPUS", "TRAINING_MEMORY",
    "TRAINING_SHM", "PINDET_SOURCE", "GIT_USER_NAME", "GIT_USER_EMAIL",
}  # fmt: skip


def test_every_setting_of_the_example_is_read_by_something():
    scripts = "".join(path.read_text() for path in (PROJECT / "scripts").rglob("*") if path.is_file())
    read = used() | set(re.findall(r"[A-Z][A-Z0-9_]{2,}", scripts)) | {"COMPOSE_IGNORE_ORPHANS", "COMPOSE_PROFILES"}
    assert offered() - read == set()


def test_defaults_of_images_are_those_of_the_dockerfiles():
    """Said in two places, as a Dockerfile must build without compose too."""
    text = "".join(path.read_text() for path in COMPOSE)
    built = {}
    for path in (PROJECT / "docker").glob("*/Dockerfile*"):
        for name, default in re.findall(r"^ARG ([A-Z]+_IMAGE)=(.+)$", path.read_text(), re.M):
            assert built.setdefault(name, default) == default
            assert set(re.findall(rf"\$\{{{name}:-([^}}]+)\}}", text)) == {default}, name
    assert built.keys() == {"PYTHON_IMAGE", "NGINX_IMAGE", "CUDA_IMAGE"}


@pytest.mark.parametrize("guide", ["deployment.md", "deployment.zh-CN.md"])
def test_guides_explain_every_setting(guide):
    text = (PROJECT / "docs" / guide).read_text("utf-8")
    assert {name for name in offered() | MINOR if f"`{name}`" not in text} == set()
