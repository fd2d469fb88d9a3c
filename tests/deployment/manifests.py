"""What kustomize makes of docker/kubernetes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
DOCKER = PROJECT / "docker"
FOLDER = DOCKER / "kubernetes"


def render(folder):
    """The objects of a kustomization."""
    if shutil.which("kustomize"):
        command = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed")
    asked = [command[0], "version", *(["--client"] if command[0] == "kubectl" else [])]
    version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    if not re.search(r"(Kustomize Version: |^)v([5-9]|\d\d)", version, re.M):
        pytest.skip(f"{command[0]} has no kustomize of version 5 or newer")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Objects(yaml.safe_load_all(done.stdout))


class Objects:
    """The objects of a kustomization, by kind and by their name without a digest."""

    def __init__(self, items):
        self.all = {(item["kind"], re.sub(r"-[a-z0-9]{10}$", "", self._named(item))): item for item in items}

    @staticmethod
    def _named(item):
        return item["metadata"]["name"] if item["kind"] == "ConfigMap" else item["metadata"]["name"] + "-0000000000"

    def kind(self, kind):
        return {name: item for (each, name), item in self.all.items() if each == kind}

    def get(self, kind, name):
        return self.all[kind, name]

    def pods(self):
        return {name: item["spec"]["template"] for name, item in self.kind("Deployment").items()}

    def containers(self):
        return [
            (name, container) for name, pod in self.pods().items() for container in pod["spec"]["containers"]
        ]  # fmt: skip

    def environment(self, name):
        """Names and values that a Deployment's first container is given; what is secret has its key's name."""
        container = self.pods()[name]["spec"]["containers"][0]
        given = {}
        for source in container.get("envFrom", []):
            given |= next(
                item["data"] for item in self.kind("ConfigMap").values()
                if item["metadata"]["name"] == source["configMapRef"]["name"]
            )  # fmt: skip
        for item in container.get("env", []):
            assert item["name"] not in given, "given twice"
            given[item["name"]] = next(iter(item["valueFrom"].values())).get("key", "")
        return given

    def selected(self, labels):
        """Names of the Deployments whose pods have these labels."""
        found = {name: pod["metadata"]["labels"].items() for name, pod in self.pods().items()}
        return {name for name, has in found.items() if labels.items() <= has}
