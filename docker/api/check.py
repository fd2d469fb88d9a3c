"""Check a running stack from inside, through the proxy, as a user would use it; one line a check.

    docker compose … exec -T api python /opt/pindet/stack/check.py [ADDRESS]

Exits with 1 if anything fails.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import websockets.sync.client as sockets

WANTED_HEADERS = ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy")
GOLDEN = Path("store") / "bundles"


class Stack:
    """A stack that is looked at from outside its proxy.

    Args:
        address: of the proxy, ``http://frontend:8080``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        # The certificate is for the name that people use, not for the service's; the guide has a check for it.
        self._tls = ssl._create_unverified_context() if address.startswith("https") else None
        self.token = ""

    def ask(self, path: str, data: bytes | None = None, kind: str = "") -> tuple[bytes, dict[str, str]]:
        """Send a request; returns body and headers.

        Raises:
            RuntimeError: any answer but success, with what was said.
        """
        request = urllib.request.Request(self.address + path, data=data)
        if kind:
            request.add_header("Content-Type", kind)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            said = error.read()[:300].decode("utf-8", "replace")
            raise RuntimeError(f"{path} answers {error.code}: {said}") from error
        except OSError as error:
            raise RuntimeError(f"{self.address}{path} can not be reached: {error}") from error

    def page(self) -> str:
        """The page and the headers that protect it."""
        body, headers = self.ask("/")
        missing = [name for name in WANTED_HEADERS if name not in headers]
        if self.address.startswith("https") and "Strict-Transport-Security" not in headers:
            missing.append("Strict-Transport-Security")
        if missing or b"pindet" not in body:
            raise RuntimeError(f"the page lacks {missing or 'its content'}")
        return f"{len(body)} bytes, with its headers"

    def health(self) -> str:
        """What the server says of itself and its parts."""
        content = json.loads(self.ask("/health")[0])
        bad = {name: check["detail"] for name, check in content["checks"].items() if not check["ok"]}
        if content["status"] != "ok":
            raise RuntimeError(f"{content['status']}: {bad}")
        return ", ".join(content["checks"])

    def sign_in(self) -> str:
        """The administrator of ``.env.prod``."""
        name, password = os.environ["PINDET_ADMIN_USER"], os.environ["PINDET_ADMIN_PASSWORD"]
        form = urllib.parse.urlencode({"username": name, "password": password, "grant_type": "password"})
        answer = json.loads(self.ask("/v1/auth/token", form.encode(), "application/x-www-form-urlencoded")[0])
        self.token = answer["access_token"]
        return f"{name} is {answer['role']}"

    def model(self) -> str:
        """What is served."""
        content = json.loads(self.ask("/v1/model")[0])
        return f"{content['version']} {content['md5']}"

    def detection(self) -> str:
        """A golden image of the served bundle, through the proxy."""
        image = next(iter(sorted(Path(os.environ["PINDET_OUTPUT"]).glob(f"api-*/{GOLDEN}/*/golden/*.png"))), None)
        if image is None:
            raise RuntimeError("no golden image in the served bundle")
        answer = json.loads(self.ask("/v1/detect?record=false", image.read_bytes(), "image/png")[0])
        found = answer["images"][0]["detections"]
        if not found:
            raise RuntimeError(f"nothing found in {image.name}")
        return f"{len(found)} objects in {image.name}"

    def socket(self) -> str:
        """The status feed, with a ticket, as the page opens it."""
        ticket = json.loads(self.ask("/v1/auth/ticket", b"")[0])["ticket"]
        address = f"ws{self.address.removeprefix('http')}/ws/status?ticket={ticket}"
        with sockets.connect(address, open_timeout=10, ssl=self._tls) as socket:
            first = json.loads(socket.recv(timeout=10))
        if first["type"] != "snapshot":
            raise RuntimeError(f"the first event is {first['type']}, not a snapshot")
        return "a snapshot"


def main() -> int:
    """Run every check, whatever the ones before said."""
    tls = os.environ.get("CHECK_TLS") == "on"
    stack = Stack(sys.argv[1] if len(sys.argv) > 1 else f"{'https' if tls else 'http'}://frontend:8080")
    checks: list[Callable[[], str]] = [
        stack.page, stack.health, stack.sign_in, stack.model, stack.detection, stack.socket,
    ]  # fmt: skip
    failed = 0
    for check in checks:
        name = check.__name__.replace("_", "-")
        try:
            sys.stdout.write(f"pass  {name}: {check()}\n")
        except Exception as error:  # whatever it is, it is told, and the next check is made
            failed += 1
            sys.stdout.write(f"FAIL  {name}: {error}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
