"""The manifests of docker/kubernetes: valid, confined, and in agreement with the code that they run.

They are rendered by the real kustomize, alone or in kubectl, and held to Kubernetes' own schemas; no cluster is needed.
"""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import kubernetes_validate
import pytest
import yaml
from pindet_serve.api import health
from pindet_serve.api.metrics import Metrics
from pindet_serve.engine import DeviceMissingError
from pindet_serve.serving.engines import choose
from pindet_serve.serving.hardware import Hardware
from pindet_serve.serving.release import Release, folder_md5
from pindet_serve.settings import Settings
from prometheus_client.parser import text_string_to_metric_families

from .manifests import DOCKER, FOLDER, PROJECT, render

WHOLE = [
    *sorted((FOLDER / "base").glob("[!k]*.yaml")), FOLDER / "site" / "network.yaml", FOLDER / "secret.example.yaml",
    FOLDER / "components" / "ingress" / "ingress.yaml",
]  # fmt: skip
OLDEST, NEWEST = "1.29", "1.37"


@pytest.fixture(scope="module")
def cpu():
    return render(FOLDER / "overlays" / "cpu")


@pytest.fixture(scope="module")
def gpu():
    return render(FOLDER / "overlays" / "gpu")


@pytest.fixture(scope="module", params=["cpu", "gpu", "ingress", "tls"])
def objects(request, tmp_path_factory):
    """Each overlay, and each component on top of the one for CPUs."""
    if request.param in ("cpu", "gpu"):
        return request.getfixturevalue(request.param)
    folder = tmp_path_factory.mktemp("site") / "kubernetes"
    shutil.copytree(FOLDER, folder)
    with (folder / "site" / "kustomization.yaml").open("a") as file:
        file.write(f"components: [../components/{request.param}]\n")
    return render(folder / "overlays" / "cpu")


def routes():
    return {route.path for route in health.router.routes}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_objects_are_what_kubernetes_takes(objects, version):
    for item in objects.all.values():
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_are_what_kubernetes_takes(path):
    for item in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(item, NEWEST, strict=True)


def test_every_container_is_confined_and_limited(objects):
    for name, pod in objects.pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] >= 10000
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        assert all({"emptyDir", "secret"} & volume.keys() for volume in spec["volumes"])
    for name, container in objects.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }, name  # fmt: skip
        resources = container["resources"]
        assert resources["requests"].keys() >= {"cpu", "memory"} and resources["limits"].keys() >= {"cpu", "memory"}
        assert container["imagePullPolicy"] == "IfNotPresent"


def test_probes_ask_for_what_there_is(objects):
    nginx = (DOCKER / "frontend" / "nginx.conf").read_text().split("listen 8000;")[1]
    answered = {"api": routes(), "frontend": set(re.findall(r"location = (\S+) \{[^}]*return 200", nginx))}
    for name, container in objects.containers():
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            if (asked := container.get(kind, {}).get("httpGet")) is None:
                assert container["name"] in ("agent", "figures"), (name, kind)
                continue
            assert asked["path"] in answered[name], (name, kind)
            assert ports[asked["port"]] == 8000
    api = objects.pods()["api"]["spec"]["containers"][0]
    assert api["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert api["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    for file in ("Dockerfile", "Dockerfile.gpu"):
        assert "PINDET_HOST=0.0.0.0" in (text := (DOCKER / "api" / file).read_text()) and "PINDET_PORT=8000" in text


def test_the_agent_is_probed_where_it_writes(cpu):
    agent, figures = cpu.pods()["agent"]["spec"]["containers"]
    state = re.search(r'"AGENT_STATE", "([^"]+)"', (DOCKER / "dvc" / "agent.py").read_text())[1]
    assert state in agent["startupProbe"]["exec"]["command"]
    assert state in agent["livenessProbe"]["exec"]["command"][-1]
    assert agent["readinessProbe"]["exec"]["command"][-1] == "/opt/pindet/stack/healthy.py"
    told = Path(cpu.environment("agent")["AGENT_FIGURES"]).parent
    assert str(told) in figures["command"]
    for container in (agent, figures):
        assert str(told) in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert "/dvc/work" in [mount["mountPath"] for mount in agent["volumeMounts"]]


def test_everything_that_is_selected_is_there(objects):
    for name, deployment in objects.kind("Deployment").items():
        assert objects.selected(deployment["spec"]["selector"]["matchLabels"]) == {name}
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert objects.selected(spread["labelSelector"]["matchLabels"]) == {name}
    for name, service in objects.kind("Service").items():
        assert objects.selected(service["spec"]["selector"]) == {name}
        named = {port["name"] for port in objects.pods()[name]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named
    for name, budget in objects.kind("PodDisruptionBudget").items():
        assert objects.selected(budget["spec"]["selector"]["matchLabels"]) == {name}
    for ingress in objects.kind("Ingress").values():
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert backend["port"]["name"] in {p["name"] for p in objects.get("Service", backend["name"])["spec"]["ports"]}


def test_requests_are_never_dropped_by_an_update(objects):
    drain = float(objects.environment("api")["PINDET_DRAIN_S"])
    for name in ("api", "frontend"):
        deployment = objects.get("Deployment", name)
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert objects.get("PodDisruptionBudget", name)
        pod = deployment["spec"]["template"]["spec"]
        sleep = float(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
        assert pod["terminationGracePeriodSeconds"] >= sleep + drain + 10
        assert sleep >= 7  # the proxy's DNS remembers for 2 s, the cluster's for 5


def test_the_autoscaler_asks_for_a_figure_that_is_given(cpu):
    scaler = cpu.get("HorizontalPodAutoscaler", "api")["spec"]
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in cpu.all
    assert "replicas" not in cpu.get("Deployment", "api")["spec"], "each apply would undo what the autoscaler did"
    depth, load = scaler["metrics"]
    assert (depth["type"], load["resource"]["name"]) == ("Pods", "cpu")
    name = depth["pods"]["metric"]["name"]
    assert given_figures()[name] == "gauge"
    assert int(depth["pods"]["target"]["averageValue"]) < int(cpu.environment("api")["PINDET_QUEUE_SIZE"])
    (rule,) = yaml.safe_load((FOLDER / "monitoring" / "adapter.yaml").read_text())["rules"]
    assert rule["name"]["as"] == name and rule["seriesQuery"].startswith(f"{name}{{")
    jobs = yaml.safe_load((FOLDER / "monitoring" / "scrape.yaml").read_text())["scrape_configs"]
    for job in jobs:
        kept = [one["regex"] for one in job["relabel_configs"] if one.get("action") == "keep"]
        ports = [port["name"] for c in cpu.pods()[kept[0]]["spec"]["containers"] for port in c.get("ports", [])]
        assert kept[1] in ports
        assert {"namespace", "pod"} <= {one.get("target_label") for one in job["relabel_configs"]}


def given_figures():
    """What /metrics of a server gives: name and type."""
    release = Release(name="detector", version="v1", stage="", bundle_md5=folder_md5(()), files=())
    model = SimpleNamespace(release=release, engine="onnxruntime", device="cpu", drift=None)
    service = SimpleNamespace(batcher=SimpleNamespace(admitted=0, capacity=64), refused="", model=model)
    metrics = Metrics()
    metrics.watch(service, lambda: {"state": "up", "dropped": 0}, lambda: {"state": "up", "dropped": 0})
    return {family.name: family.type for family in text_string_to_metric_families(metrics.text().decode())}


def policies(objects, direction):
    for name, policy in objects.kind("NetworkPolicy").items():
        selector = policy["spec"]["podSelector"]
        who = objects.selected(selector.get("matchLabels", {}))
        for term in selector.get("matchExpressions", []):
            assert set(term["values"]) <= who
            who = set(term["values"])
        assert who, name
        assert direction.capitalize() in policy["spec"]["policyTypes"] or direction not in policy["spec"]
        for rule in policy["spec"].get(direction, []):
            yield name, who, rule, {port["port"] for port in rule["ports"]}


def test_nothing_is_open_that_was_not_named(objects):
    closed = objects.get("NetworkPolicy", "default-deny")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    listening = {
        name: {port["containerPort"] for c in pod["spec"]["containers"] for port in c.get("ports", [])}
        for name, pod in objects.pods().items()
    }
    for name, who, rule, ports in policies(objects, "ingress"):
        assert all(ports <= listening[each] for each in who), name
        assert "from" in rule or who == {"frontend"}, name
        assert who != {"frontend"} or ports == {8080}, "the port inside has no limits"
    for _, _, rule, ports in policies(objects, "egress"):
        for target in rule["to"]:
            if "podSelector" in target and "namespaceSelector" not in target:
                assert all(ports <= listening[each] for each in objects.selected(target["podSelector"]["matchLabels"]))


def test_the_way_out_is_as_long_as_the_addresses(cpu):
    out = {}
    for name, who, rule, ports in policies(cpu, "egress"):
        if name.startswith("to-"):
            assert [list(target) for target in rule["to"]] == [["ipBlock"]]
            out[name] = (who, ports)
    assert out == {
        "to-postgresql": ({"api"}, {5432}), "to-redis": ({"api", "agent"}, {6379}), "to-s3": ({"api", "agent"}, {443}),
        "to-mlflow": ({"agent", "frontend"}, {5000}), "to-git": ({"agent"}, {22}),
    }  # fmt: skip
    assert cpu.environment("agent")["PROJECT_GIT"].startswith("ssh://")
    assert ":6379/" in cpu.environment("api")["REDIS_URL"]
    assert cpu.environment("api")["AWS_ENDPOINT_URL"].startswith("https://")
    assert cpu.environment("frontend")["MLFLOW_ADDRESS"].endswith(":5000")


def test_the_proxy_finds_the_api(cpu):
    service = cpu.get("Service", "api")
    assert service["spec"]["clusterIP"] == "None", "one address can not be asked again at another replica"
    where = f"api.{service['metadata']['namespace']}.svc.cluster.local:{service['spec']['ports'][0]['port']}"
    assert cpu.environment("frontend")["API_ADDRESS"] == where


def test_images_are_those_that_are_built(cpu, gpu):
    files = (*PROJECT.glob("docker-compose.prod*.yml"), DOCKER / "compose.gpu.yml")
    built = set(re.findall(r"image: (pindet-[a-z-]+):", "".join(path.read_text() for path in files)))
    for objects in (cpu, gpu):
        for _, container in objects.containers():
            assert container["image"].split(":")[0] in built
            assert container["image"].endswith(":CHANGE_ME"), "an image without a version"


def test_the_gpu_is_all_that_the_overlays_differ_in(cpu, gpu):
    assert cpu.all.keys() == gpu.all.keys()
    differ = {key for key, item in cpu.all.items() if item != gpu.all[key]}
    assert differ == {("ConfigMap", "api"), ("Deployment", "api"), ("HorizontalPodAutoscaler", "api")}
    assert cpu.environment("api") | {"PINDET_DEVICE": "cuda"} == gpu.environment("api")
    pod = gpu.pods()["api"]["spec"]
    (container,), (before,) = pod["containers"], cpu.pods()["api"]["spec"]["containers"]
    assert container["image"].startswith("pindet-api-gpu:")
    assert container["resources"]["limits"] == before["resources"]["limits"] | {"nvidia.com/gpu": 1}
    assert pod["tolerations"] and pod["nodeSelector"]


def test_a_device_that_is_missing_stops_the_start(cpu, gpu):
    def chosen(objects, gpus):
        given = objects.environment("api")
        settings = Settings(engine=given["PINDET_ENGINE"], device=given["PINDET_DEVICE"])
        providers = frozenset({"CPUExecutionProvider", "CUDAExecutionProvider"})
        return choose(settings, Hardware(gpus, frozenset(), providers), has_program=False).device

    with pytest.raises(DeviceMissingError):
        chosen(gpu, 0)
    assert (chosen(gpu, 1), chosen(cpu, 1), chosen(cpu, 0)) == ("cuda", "cpu", "cpu")
