"""The page over the bundle that the pipeline made: what it draws is what the detector finds."""

import re
import subprocess
import sys

import httpx
import pytest
from pindet_serve.detector import Detector
from pindet_serve.images import decode_image

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(project):
    """A project trained for long enough to find something."""
    project.run("pindet", "params", "+experiment=tiny", "data.train_images=24", "training.epochs=40")
    project.dvc("repro")
    return project


@pytest.fixture
def address(trained, tmp_path, free_ports):
    """Of a server of the project, as `make serve` starts one."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "pindet_serve", f"--port={port}", f"--state={tmp_path / 'state'}", "--threads=1"]
    server = subprocess.Popen(command, cwd=trained.root, env=trained.environment)
    try:
        transport = httpx.HTTPTransport(retries=8)  # half a second, then twice as long each time
        with httpx.Client(transport=transport) as client:
            assert client.get(f"{url}/health/ready").status_code == 200
        yield url
    finally:
        server.kill()
        server.wait(20)


def test_golden_images_are_answered_and_drawn_as_the_detector_finds_them(trained, address, chromium):
    from playwright.sync_api import expect

    bundle = trained.root / "models/bundle"
    files = sorted((bundle / "golden").glob("*.png"))
    images = [decode_image(file.read_bytes()) for file in files]
    answers = Detector(bundle).detect(images)
    page = chromium.new_context(locale="en-GB").new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{address}/#/try")
    page.wait_for_selector(".try .chip")
    page.set_input_files("input[type=file]", files)
    expect(page.locator(".thumb")).to_have_count(len(files))
    for thumb, answer in zip(page.locator(".thumb").all(), answers, strict=True):
        thumb.click()
        expect(page.locator(".found")).to_have_text(re.compile(rf"^{len(answer)} objects? of \d+ shown"))
    assert sum(map(len, answers)) > 0, "there is something to draw"

    page.goto(f"{address}/#/models")
    lineage = page.locator("main")
    expect(lineage).to_contain_text(trained.outs()["models/bundle"])
    expect(lineage).to_contain_text(trained.outs()["data/prepared"])
