"""The release agent: follows the project's tags, brings releases in line with them, verifies what is released.

Says on the status bus what it changed (by ``pindet reconcile`` itself) and what it saw:
``release.verified`` and ``release.damaged``. What it knows is in a JSON file, which the health check reads. Nothing
that goes wrong ends it: it says so, and tries again. With ``RELEASES_FROM_PAGE=on`` it carries out what administrators
wish for on the page (:mod:`wishes`).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures import figures
from pindet_serve.settings import SettingsError, check_secret
from project import Project, ProjectError, open_project
from released import Verified, release_texts, verify
from wishes import Wishes

from pindet.promotion.announcement import announce
from pindet.promotion.errors import PromotionError

STATE = Path(os.environ.get("AGENT_STATE", "/tmp/agent.json"))
FIGURES = Path(os.environ.get("AGENT_FIGURES", "/app/logs/metrics/agent.prom"))
RECONCILE_WITHIN = 600.0
_log = logging.getLogger("agent")


class Agent:
    """Works in rounds.

    Args:
        project: the clone.
        verify_s: seconds between two readings of every released object; a changed release is read at once.
        lock: held while the clone is worked on.
        wishes: told when there may be other tags.
    """

    def __init__(self, project: Project, verify_s: float, lock: threading.Lock, wishes: Wishes | None = None) -> None:
        self._project, self._verify_s, self._lock, self._wishes = project, verify_s, lock, wishes
        self._verified = Verified()
        self._verified_at = -verify_s
        self._known: dict[str, str] = {}

    def round(self) -> dict[str, Any]:
        """Do everything once; returns what there is to know."""
        state: dict[str, Any] = {"ts": time.time(), "problems": []}
        try:
            with self._lock:
                state["commit"] = self._project.follow()
                state["reconciled"] = self._reconcile(state["problems"])
                self._look(state["problems"])
            self._verify()
        except (ProjectError, PromotionError, OSError, subprocess.TimeoutExpired) as error:
            state["problems"].append(str(error))
        state |= asdict(self._verified)
        state["problems"] += self._verified.damaged
        return state

    def _reconcile(self, problems: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            ["pindet", "reconcile", "--json"], cwd=self._project.root, capture_output=True, text=True,
            timeout=RECONCILE_WITHIN, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            result: dict[str, Any] = json.loads(done.stdout or "{}")
        except ValueError:
            result = {}
        if done.returncode:
            failed = result.get("failed") or [result.get("error") or done.stderr.strip()[-500:]]
            problems += [f"reconcile: {text}" for text in failed]
        for name in result.get("changed", []):
            _log.info("brought in line: %s", name)
        return result

    def _look(self, problems: list[str]) -> None:
        try:
            if self._wishes:
                self._wishes.look()
        except PromotionError as error:  # no reason to leave out what follows
            problems.append(f"what can be chosen: {error}")

    def _verify(self) -> None:
        now, seen, listed = time.monotonic(), self._verified, release_texts(self._project.root)
        if now - self._verified_at < self._verify_s and listed == self._known:
            return
        self._verified, self._verified_at, self._known = verify(self._project.root, listed), now, listed
        if self._verified.damaged != seen.damaged or self._verified.releases != seen.releases:
            damaged = self._verified.damaged
            _log.log(logging.ERROR if damaged else logging.INFO, "released: %s", asdict(self._verified))
            if os.environ.get("REDIS_URL"):
                announce("release.damaged" if damaged else "release.verified", asdict(self._verified))


def open_wishes(project: Project, lock: threading.Lock) -> Wishes | None:
    """What listens for wishes, as the environment says; ``None`` without a bus.

    Raises:
        ValueError: wishes are to be carried out, and secret or bus are none.
    """
    asked = os.environ.get("RELEASES_FROM_PAGE", "off")
    if asked not in ("on", "off"):
        raise SettingsError(f"RELEASES_FROM_PAGE is {asked!r}; on or off is allowed")
    secret = os.environ.get("RELEASE_SECRET", "") if asked == "on" else ""
    url = os.environ.get("REDIS_URL")
    if asked == "on":
        check_secret("RELEASE_SECRET", secret)
        if not url:
            raise SettingsError("RELEASES_FROM_PAGE is on and REDIS_URL is not set; wishes come over Redis, set it")
    return Wishes(project, lock, url, os.environ.get("REDIS_PASSWORD"), secret) if url else None


def main() -> None:
    """Work until told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    project, lock = open_project(), threading.Lock()
    try:
        wishes = open_wishes(project, lock)
    except ValueError as error:
        sys.exit(f"agent: {error}")
    agent = Agent(project, float(os.environ.get("AGENT_VERIFY_SECONDS", "3600")), lock, wishes)
    if wishes:
        wishes.start()
    told: list[str] = []
    while not stop.is_set():
        state = agent.round()
        if state["problems"] != told:
            told = list(state["problems"])
            _log.log(logging.ERROR if told else logging.INFO, "problems: %s", told or "none")
        _write(STATE, json.dumps(state))
        if FIGURES.parent.is_dir():
            _write(FIGURES, figures(state, FIGURES.parent))
        stop.wait(float(os.environ.get("AGENT_SECONDS", "30")))
    if wishes:
        wishes.stop()


def _write(path: Path, text: str) -> None:
    """Write a file that others read: whole, or as it was."""
    new = path.with_suffix(".new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        _log.warning("%s can not be written: %s", path, error)


if __name__ == "__main__":
    main()
