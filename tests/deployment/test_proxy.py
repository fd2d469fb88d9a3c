"""The proxy's configuration: what it gives with the page, and what its start refuses."""

import os
import re
import subprocess
from pathlib import Path

import pytest

FRONTEND = Path(__file__).parents[2] / "docker" / "frontend"


def test_page_headers_are_the_servers_own():
    page = pytest.importorskip("pindet_serve.api.page", reason="the page is not here")
    text = (FRONTEND / "page_headers.conf").read_text()
    given = dict(re.findall(r'^add_header ([A-Za-z-]+) "(.*)" always;$', text, re.M))
    assert given.pop("X-Content-Type-Options") == "nosniff"
    assert given == {name: value for name, value in page.HEADERS.items() if name != "Vary"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATE_LIMIT", "fast"), ("RATE_BURST", "0"), ("SIGN_IN_LIMIT", "1; return 200"), ("TLS", "yes"),
        ("API_ADDRESS", "api"), ("API_ADDRESS", "api:8000; return 200"), ("MLFLOW_ADDRESS", "mlflow:http"),
        ("TRUSTED_PROXIES", "10.0.0.0/8; root /"),
    ],
)  # fmt: skip
def test_a_wrong_setting_stops_the_start(name, value):
    done = subprocess.run(
        ["sh", str(FRONTEND / "start.sh")], env=os.environ | {name: value}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{name} is '{value}'" in done.stderr


def test_tls_without_certificate_stops_the_start():
    done = subprocess.run(
        ["sh", str(FRONTEND / "start.sh")], env=os.environ | {"TLS": "on"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "fullchain.pem" in done.stderr


def test_every_location_that_answers_itself_names_no_header_twice():
    """nginx inherits no add_header into a block that has one of its own: each block must bring all it needs."""
    text = (FRONTEND / "locations.conf").read_text()
    for block in re.findall(r"location [^{]*\{[^{}]*\}", text):
        headers = re.findall(r"proxy_set_header (\S+)", block)
        assert len(headers) == len(set(headers)), block
        if "proxy_pass" in block:
            assert "proxy_set_header Host" in block, block
            assert "limit_req" in block, block


def test_every_blank_of_the_configuration_is_filled_in():
    start = (FRONTEND / "start.sh").read_text()
    for path in FRONTEND.glob("*.conf"):
        for blank in set(re.findall(r"@[A-Z_]+@", path.read_text())) - {"@NAME@"}:
            filled = [line for line in start.split("\nsed -e ") if path.name in line and f"s/{blank}/" in line]
            assert filled, f"{path.name}: {blank}"
