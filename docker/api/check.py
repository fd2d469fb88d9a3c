"""Check a running stack from inside, through the proxy, as a user would use it; one line a check.

    docker compose … exec -T api python /opt/pindet/stack/check.py [ADDRESS]

Exits with 1 if anything fails.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import check_user
import websockets.sync.client as sockets
from pindet_serve.auth.directory import REFRESH_SECONDS
from pindet_serve.golden import HALF

WANTED_HEADERS = ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy")
BUNDLES = Path("store") / "bundles"


class RefusedError(RuntimeError):
    """An answer that is no success; the message says what was said."""

    def __init__(self, path: str, status: int, said: str) -> None:
        super().__init__(f"{path} answers {status}: {said}")
        self.status = status


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

    def ask(self, path: str, data: bytes | None = None, kind: str = "") -> tuple[bytes, Message]:
        """Send a request; returns body and headers.

        Raises:
            RefusedError: any answer but success.
            RuntimeError: no answer.
        """
        request = urllib.request.Request(self.address + path, data=data)
        if kind:
            request.add_header("Content-Type", kind)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            said = error.read()[:300].decode("utf-8", "replace")
            raise RefusedError(path, error.code, said) from error
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
        """The check's own user, which is made, or made anew, when it is refused."""
        try:
            answer = self._sign_in()
        except RefusedError as error:
            if error.status != 401:
                raise
            answer = {}
        if answer.get("role") != check_user.ROLE:
            check_user.make(os.environ)
            answer = self._sign_in()
            time.sleep(REFRESH_SECONDS + 2)  # until every replica knows it
        self.token = answer["access_token"]
        return f"{check_user.NAME} is {answer['role']}"

    def _sign_in(self) -> dict[str, Any]:
        given = {"username": check_user.NAME, "password": check_user.password(os.environ), "grant_type": "password"}
        form = urllib.parse.urlencode(given).encode()
        answer: dict[str, Any] = json.loads(self.ask("/v1/auth/token", form, "application/x-www-form-urlencoded")[0])
        return answer

    def model(self) -> str:
        """What is served."""
        content = json.loads(self.ask("/v1/model")[0])
        return f"{content['version']} {content['md5']}"

    def detection(self) -> str:
        """A golden image of the served bundle, through the proxy, and what the bundle says that is in it."""
        md5 = json.loads(self.ask("/v1/model")[0])["md5"].removesuffix(".dir")
        bundle = next(iter(sorted(Path(os.environ["PINDET_OUTPUT"]).glob(f"api-*/{BUNDLES / md5}"))), None)
        if bundle is None:
            raise RuntimeError(f"{md5} is served, and no replica's folder has it")
        golden = json.loads((bundle / "golden" / "answers.json").read_text("utf-8"))
        wanted = max(golden["answers"], key=lambda answer: len(answer["labels"]))
        tolerance, threshold = _score_tolerance(bundle, golden), float(golden["score_threshold"])
        image = (bundle / "golden" / wanted["image"]).read_bytes()
        least = max(0.0, threshold - tolerance)
        answer = json.loads(self.ask(f"/v1/detect?record=false&score_threshold={least}", image, "image/png")[0])
        found = answer["images"][0]["detections"]
        sure = Counter(one["label_id"] for one in found if one["score"] > threshold + tolerance)
        missing = Counter(wanted["labels"]) - Counter(one["label_id"] for one in found)
        if missing or sure - Counter(wanted["labels"]):
            raise RuntimeError(
                f"{wanted['image']} of {md5} has objects of the classes {sorted(wanted['labels'])}, found were "
                f"{sorted(one['label_id'] for one in found)}"
            )
        return f"{len(wanted['labels'])} objects in {wanted['image']}, as the bundle has them"

    def socket(self) -> str:
        """The status feed, with a ticket, as the page opens it."""
        ticket = json.loads(self.ask("/v1/auth/ticket", b"")[0])["ticket"]
        address = f"ws{self.address.removeprefix('http')}/ws/status?ticket={ticket}"
        with sockets.connect(address, open_timeout=10, ssl=self._tls) as socket:
            first = json.loads(socket.recv(timeout=10))
        if first["type"] != "snapshot":
            raise RuntimeError(f"the first event is {first['type']}, not a snapshot")
        return "a snapshot"


def _score_tolerance(bundle: Path, golden: dict[str, Any]) -> float:
    """How far scores may be from the golden ones, whatever engine serves."""
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    formats = manifest.get("formats", {}).values()
    return float(max([HALF * golden["score_tolerance"], *(described["score_tolerance"] for described in formats)]))


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
