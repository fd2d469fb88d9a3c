"""What is refused leaves nothing behind, and a name that is not this machine's learns nothing."""

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image as Pillow


def test_refused_images_do_not_stay_in_memory(start_server, project, tmp_path):
    server = start_server(project, "--max-body-mb=8")
    path = tmp_path / "noise.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), np.uint8)
    Pillow.fromarray(noise).save(path, quality=98)
    broken = b"\0" * 64 + path.read_bytes()
    assert len(broken) > 3 * 2**20

    def refuse(times):
        for _ in range(times):
            assert httpx.post(f"{server.url}/v1/detect", content=broken, timeout=30).status_code in (400, 415)

    refuse(10)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    refuse(60)
    assert process.memory_info().rss - before < 60 * 2**20, "60 bodies of 3 MiB and more were kept"


@pytest.mark.parametrize("path", ["/v1/model", "/v1/jobs", "/v1/detections", "/v1/releases"])
def test_without_sign_in_only_this_machines_names_are_answered(server, path):
    for host in ("localhost", "127.0.0.1:80", "[::1]:8000", "LOCALHOST:1"):
        assert httpx.get(server.url + path, headers={"Host": host}).status_code == 200
    for host in ("rebound.example", "rebound.example:8000", "127.0.0.1.example", "localhost.example"):
        answer = httpx.get(server.url + path, headers={"Host": host})
        assert answer.status_code == 403
        assert f"only localhost is answered, not {host}" in answer.json()["detail"]


def test_a_name_that_was_allowed_is_answered(start_server, project):
    server = start_server(project, "--allowed-origins=https://plant.example:8443")
    for host, status in (("plant.example:8443", 200), ("plant.example", 200), ("other.example", 403)):
        assert httpx.get(f"{server.url}/v1/model", headers={"Host": host}).status_code == status
