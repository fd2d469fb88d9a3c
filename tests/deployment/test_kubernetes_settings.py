"""What the pods of docker/kubernetes are told: names that something reads, and secrets that are elsewhere."""

import inspect
import re
import shutil
from dataclasses import fields

import botocore.configprovider
import botocore.credentials
import botocore.utils
import mlflow.environment_variables
import pytest
import uvicorn.config
import yaml
from pindet_serve.settings import Settings, read_settings

from .manifests import DOCKER, FOLDER, PROJECT, render

SERVICES = {
    name: service
    for file in PROJECT.glob("docker-compose.prod*.yml")
    for name, service in yaml.safe_load(file.read_text("utf-8"))["services"].items()
}
PREFLIGHT = "deployment/kubernetes_preflight.sh"
# git's own: git(1), "ENVIRONMENT VARIABLES".
OF_GIT = {f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")} | {"GIT_SSH_COMMAND"}


def quoted(*modules):
    texts = "".join(inspect.getsource(module) for module in modules)
    return set(re.findall(r"['\"]([A-Z][A-Z0-9_]+)['\"]", texts))


def read_by(name):
    """Names of the variables that the program in a Deployment reads."""
    aws = {name for name in quoted(botocore.configprovider, botocore.credentials, botocore.utils) if "AWS" in name}
    if name == "api":
        own = {item.metadata["env"] or f"PINDET_{item.name.upper()}" for item in fields(Settings)}
        return own | aws | ({"FORWARDED_ALLOW_IPS"} & quoted(uvicorn.config))
    if name == "frontend":
        return set(re.findall(r"\$\{([A-Z_]+):=", (DOCKER / "frontend" / "start.sh").read_text()))
    texts = "".join(path.read_text() for path in (DOCKER / "dvc").glob("*.py"))
    texts += "".join(path.read_text() for path in (PROJECT / "src" / "pindet").rglob("*.py"))
    texts += (PROJECT / "serve" / "pindet_serve" / "status" / "publisher.py").read_text()
    own = set(re.findall(r"environ(?:ment)?(?:\.get\(|\[)\"([A-Z_]+)\"", texts))
    return own | aws | OF_GIT | {name for name in dir(mlflow.environment_variables) if name.startswith("MLFLOW_")}


@pytest.fixture(scope="module", params=["cpu", "gpu"])
def objects(request):
    return render(FOLDER / "overlays" / request.param)


@pytest.mark.parametrize("name", ["api", "frontend", "agent"])
def test_every_name_is_one_that_is_read(objects, name):
    assert objects.environment(name).keys() - read_by(name) == set()


@pytest.mark.parametrize(("name", "service"), [("api", "api"), ("frontend", "frontend"), ("agent", "dvc")])
def test_what_compose_tells_is_told_here_too(objects, name, service):
    assert SERVICES[service]["environment"].keys() - objects.environment(name).keys() == set()


def test_the_server_takes_the_settings(objects):
    given = objects.environment("api") | {
        "JWT_SECRET": "0123456789abcdef0123456789abcdef", "JWT_SECRET_PREVIOUS": "", "RELEASE_SECRET": "",
        "PINDET_THREADS": "2", "PINDET_HOST": "0.0.0.0",
    }  # fmt: skip
    settings = read_settings(given)
    assert settings.follows and settings.source.startswith("s3://")
    assert (settings.threads, settings.queue_size, settings.drain_s) == (2, 64, 20.0)


def asked_secrets(objects):
    """Secret and key of all that pods ask for."""
    found = set()
    for _, container in objects.containers():
        for item in container.get("env", []):
            if (ref := item["valueFrom"].get("secretKeyRef")) and not ref.get("optional"):
                found.add(f"{ref['name']}/{ref['key']}")
    return found


def test_secrets_are_named_and_never_held(objects):
    assert objects.kind("Secret") == {}
    for item in objects.kind("ConfigMap").values():
        assert not [name for name in item["data"] if re.search("PASSWORD|SECRET|DATABASE_URL|ACCESS_KEY", name)]
    example = {
        f"{secret['metadata']['name']}/{key}": value
        for secret in yaml.safe_load_all((FOLDER / "secret.example.yaml").read_text())
        for key, value in secret["stringData"].items()
    }
    git = {name for name in example if name.startswith("pindet-git/")}
    assert example.keys() - git == asked_secrets(objects)
    assert {value.strip() for value in example.values()} == {"CHANGE_ME", "admin"}
    script = (PROJECT / "scripts" / PREFLIGHT).read_text()
    checked = set(re.findall(r"pindet-[a-z]+/[A-Za-z_-]+", script.split("check_manifests")[0]))
    checked |= {f"pindet-api/{name}" for name in re.search(r"OWN=\((.*)\)", script)[1].split()}
    assert checked == example.keys()
    key = objects.environment("agent")["GIT_SSH_COMMAND"]
    assert all(f"/etc/pindet/git/{name.partition('/')[2]}" in key for name in git)


FILLED = {
    "site/services.env": "REDIS_URL=rediss://redis.plant:6379/0\nAWS_ENDPOINT_URL=https://s3.plant\nAWS_DEFAULT_REGION=x\n",
    "site/api.env": "PINDET_SOURCE=s3://pindet/store/releases/detector/production.json\n",
    "site/frontend.env": "MLFLOW_ADDRESS=mlflow.plant:5000\n",
    "site/agent.env": "DVC_REMOTE_URL=s3://pindet/store\nPROJECT_GIT=ssh://git@git.plant/p.git\nMLFLOW_TRACKING_URI=http://m:5000\n",
}


@pytest.fixture
def site(tmp_path):
    """A filled-in copy of docker/kubernetes, and a file of Secrets."""
    render(FOLDER / "overlays" / "cpu")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    folder = tmp_path / "kubernetes"
    shutil.copytree(FOLDER, folder)
    for name, text in FILLED.items():
        (folder / name).write_text(text)
    for name, old, new in (("kustomization.yaml", "CHANGE_ME", "v1.0.0"), ("network.yaml", "192.0.2.", "10.1.2.")):
        path = folder / "site" / name
        path.write_text(path.read_text().replace(old, new))
    text = (folder / "secret.example.yaml").read_text()
    for secret in ("JWT_SECRET", "PINDET_ADMIN_PASSWORD"):
        text = text.replace(f"{secret}: CHANGE_ME", f"{secret}: 0123456789abcdef0123456789abcdef")
    (folder / "secret.yaml").write_text(text.replace("CHANGE_ME", "given"))
    (folder / "secret.yaml").chmod(0o600)
    return folder


def said(host, site):
    status, text = host.run(PREFLIGHT, str(site / "overlays" / "cpu"), str(site / "secret.yaml"))
    return status, [line for line in text.splitlines() if line.startswith("FAIL")]


def test_a_site_that_is_filled_in_passes(host, site):
    assert said(host, site) == (0, [])


@pytest.mark.parametrize("name", [*FILLED, "site/kustomization.yaml", "site/network.yaml"])
def test_a_placeholder_is_refused(host, site, name):
    shutil.copyfile(FOLDER / name, site / name)
    status, failed = said(host, site)
    assert status == 1 and "a placeholder is left" in failed[0]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("DATABASE_URL: given", "DATABASE_URL: CHANGE_ME", "pindet-api/DATABASE_URL is a placeholder"),
        ("JWT_SECRET: 0123456789abcdef0123456789abcdef", "JWT_SECRET: short", "pindet-api/JWT_SECRET has 5"),
        ("PINDET_ADMIN_PASSWORD: 0", "PINDET_ADMIN_PASSWORD: changeme", "PINDET_ADMIN_PASSWORD is a placeholder"),
        ("REDIS_PASSWORD: given", "REDIS_PASSWORD: other", "differ"),
        ("    given", "    CHANGE_ME", "pindet-git/ssh-privatekey is a placeholder"),
        ("  MLFLOW_TRACKING_USERNAME: admin\n", "", "MLFLOW_TRACKING_USERNAME is empty"),
    ],
)
def test_a_weak_secret_is_refused(host, site, old, new, reason):
    path = site / "secret.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    status, failed = said(host, site)
    assert status == 1 and len(failed) == 1 and reason in failed[0], failed


def test_what_others_can_read_and_a_source_elsewhere_are_refused(host, site):
    (site / "secret.yaml").chmod(0o644)
    (site / "site" / "api.env").write_text("PINDET_SOURCE=s3://other/releases/detector/production.json\n")
    status, failed = said(host, site)
    assert status == 1 and [line.split()[1] for line in failed] == ["source:", "secrets:"]


def test_the_secret_of_wishes_is_one_in_both_places_where_they_are_on(host, site):
    with (site / "site" / "agent.env").open("a") as file:
        file.write("RELEASES_FROM_PAGE=on\n")
    status, failed = said(host, site)
    assert status == 1 and len(failed) == 1 and "pindet-api/RELEASE_SECRET is empty" in failed[0]
    secrets = site / "secret.yaml"
    line = "  RELEASE_SECRET: 9876543210fedcba9876543210fedcba\n"
    secrets.write_text(secrets.read_text().replace("  DATABASE_URL: given\n", f"  DATABASE_URL: given\n{line}"))
    status, failed = said(host, site)
    assert status == 1 and len(failed) == 1 and "differ" in failed[0]
    secrets.write_text(secrets.read_text().replace("  MLFLOW_TRACKING_USERNAME", f"{line}  MLFLOW_TRACKING_USERNAME"))
    assert said(host, site) == (0, [])
