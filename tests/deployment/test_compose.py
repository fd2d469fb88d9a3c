"""The compose files: what holds for every service, and that docker compose reads them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
SERVER, MLOPS = "docker-compose.prod.yml", "docker-compose.prod.mlops.yml"
SERVICES = {
    name: service
    for file in (SERVER, MLOPS)
    for name, service in yaml.safe_load((PROJECT / file).read_text("utf-8"))["services"].items()
}
LONG_LIVED = {name for name, service in SERVICES.items() if service["restart"] != "no" and not service.get("profiles")}


def test_services_are_those_of_the_design():
    assert sorted(LONG_LIVED) == ["api", "database", "dvc", "frontend", "mlflow", "redis"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user", "the image's own") not in ("root", "0")
    assert service["networks"] == ["pindet"]
    assert service["read_only"] or name == "training"  # a training writes where its libraries want
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(LONG_LIVED))
def test_service_is_watched_restarted_and_limited(name):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


def test_only_the_page_is_published_beyond_this_host():
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            loopback = port.startswith(("${BIND_ADDRESS:-127.0.0.1}:", "${MLFLOW_BIND:-${BIND_ADDRESS:-127.0.0.1}}:"))
            assert loopback or (name == "frontend" and port.startswith("${FRONTEND_BIND:-0.0.0.0}:")), (name, port)


def test_what_is_only_read_is_mounted_read_only():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and re.match(r"\./(data|models|config)", volume):
                assert volume.endswith(":ro"), (name, volume)
    assert "dvc_remote:/dvc/remote:ro" in SERVICES["api"]["volumes"]


def test_who_reads_s3_gets_its_credentials():
    whats = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION", "ENDPOINT_URL")
    names = {f"AWS_{what}" for what in whats}
    given = {name for name, service in SERVICES.items() if names <= service.get("environment", {}).keys()}
    assert given == {"api", "dvc", "training"}


def test_proxy_and_server_are_told_of_one_limit_of_bodies():
    assert SERVICES["frontend"]["environment"]["MAX_BODY_MB"] == SERVICES["api"]["environment"]["PINDET_MAX_BODY_MB"]


def test_every_image_that_is_built_can_be_pinned():
    for name, service in SERVICES.items():
        if "build" in service:
            file = (PROJECT / service["build"]["dockerfile"]).read_text("utf-8")
            bases = set(re.findall(r"^ARG ([A-Z]+_IMAGE)=", file, re.M))
            assert bases and bases <= service["build"]["args"].keys(), name


def test_no_secret_is_on_a_command_line():
    for name, service in SERVICES.items():
        shown = str(service.get("command", "")) + str(service.get("healthcheck", ""))
        assert not re.search(r"(?<!\$)\$\{[A-Z_]*(PASSWORD|SECRET)", shown), name


def test_every_secret_must_be_given():
    for file in (SERVER, MLOPS):
        text = (PROJECT / file).read_text("utf-8")
        named = set(re.findall(r"\$\{([A-Z_]*(?:PASSWORD|SECRET)[A-Z_]*)", text))
        for name in named - {"JWT_SECRET_PREVIOUS", "RELEASE_SECRET"}:  # these two may be empty
            assert f"${{{name}:?" in text, f"{file} takes an empty {name}"


def config(host, *files, environment=()):
    arguments = [word for file in files for word in ("-f", str(PROJECT / file))]
    return subprocess.run(
        ["docker", "compose", "--env-file", str(host.settings), *arguments, "config", "--quiet"],
        capture_output=True, text=True, check=False, env=os.environ | dict(environment),
    )  # fmt: skip


@pytest.mark.parametrize("files", [(SERVER,), (MLOPS,), (SERVER, MLOPS)], ids=["server", "mlops", "both"])
@pytest.mark.usefixtures("compose")
def test_docker_compose_takes_the_files(host, files):
    host.run("deployment/make_settings.sh")
    done = config(host, *files)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("compose")
def test_what_the_settings_say_of_s3_and_profiles_is_heard(host, monkeypatch):
    """A name without a value takes it from .env.prod; one that is not there is not set at all."""
    host.run("deployment/make_settings.sh")
    host.set("AWS_ACCESS_KEY_ID", "key")
    host.set("COMPOSE_PROFILES", "monitoring")
    for name in [name for name in os.environ if name.startswith(("AWS_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    status, said = host.run("deployment/compose", "config", "--format", "json")
    assert status == 0, said
    services = json.loads(said)["services"]
    assert {"prometheus", "grafana"} <= services.keys()
    for name in ("api", "dvc"):
        assert services[name]["environment"]["AWS_ACCESS_KEY_ID"] == "key"
        assert services[name]["environment"]["AWS_ENDPOINT_URL"] is None


@pytest.mark.parametrize("name", ["JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "ADMIN_PASSWORD"])
@pytest.mark.usefixtures("compose")
def test_docker_compose_refuses_an_empty_secret(host, name):
    host.run("deployment/make_settings.sh")
    host.set(name, "")
    done = config(host, SERVER)
    assert done.returncode != 0 and name in done.stderr
