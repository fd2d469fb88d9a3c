"""Carries a wish for a release out, as its user would by hand: ``pindet promote``, with every gate, in the clone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pindet_serve.status.wish import Wish

from pindet.promotion.truth import never_held

WITHIN = 600.0
LONGEST_REASON = 1500
INCOMPLETE = 5
"""Exit status of what is tagged, and whose later steps failed; the next round's ``pindet reconcile`` finishes it."""


@dataclass(frozen=True)
class Fulfilled:
    """What came of it: ``done`` or ``refused``, and what else the event says."""

    what: str
    data: dict[str, Any]


def obstacle(wish: Wish, choices: Mapping[str, Any]) -> str:
    """Why a wish is not even tried; empty when it is.

    Args:
        choices: as :meth:`choices.Choices.read` gives them.
    """
    stages, versions = choices["stages"], [one["version"] for one in choices["versions"]]
    if wish.stage not in stages:
        return f"there is no stage {wish.stage!r}; there are {', '.join(stages)}"
    if wish.kind == "rollback":
        return never_held(wish.stage, wish.version, stages[wish.stage]["before"])
    if wish.kind == "promote" and wish.version not in versions:
        return f"there is no version {wish.version}; the latest are {', '.join(versions[:10]) or 'none'}"
    return ""


def command(wish: Wish) -> list[str]:
    """What is run; each member is one word, and no shell reads it."""
    said = f"wished for by {wish.by} (wish {wish.id})"
    if wish.kind == "rollback":
        return ["pindet", "rollback", "--stage", wish.stage, "--to", wish.version, "--message", said, "--json"]
    return ["pindet", "promote", "--stage", wish.stage, "--rev", wish.version, "--message", said, "--json"]


def identity(wish: Wish) -> dict[str, str]:
    """Who the tag is by: the name of who wished; the address stays the agent's, because users have none."""
    address = os.environ.get("GIT_COMMITTER_EMAIL") or "release-agent@localhost"
    return {"GIT_COMMITTER_NAME": wish.by, "GIT_COMMITTER_EMAIL": address}


def fulfil(wish: Wish, root: Path) -> Fulfilled:
    """Run it in the project at ``root``; nothing that goes wrong is raised."""
    try:
        done = subprocess.run(
            command(wish), cwd=root, env=os.environ | identity(wish), capture_output=True, text=True, timeout=WITHIN,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        reason = f"pindet {wish.kind} had no end after {WITHIN:.0f} s; look at the log of the release agent"
        return Fulfilled("refused", {"reason": reason})
    except OSError as error:
        return Fulfilled("refused", {"reason": f"pindet can not be run: {error}"})
    try:
        result: dict[str, Any] = json.loads(done.stdout or "{}")
    except ValueError:
        result = {}
    if done.returncode == 0:
        return Fulfilled("done", {"changed": bool(result.get("changed"))})
    reason = _reason(result, done.stderr)
    if done.returncode == INCOMPLETE:
        return Fulfilled("done", {"changed": True, "reason": reason})
    return Fulfilled("refused", {"reason": reason})


def _reason(result: Mapping[str, Any], said: str) -> str:
    closed = [
        f"{verdict['gate']}: {verdict['reason']}"
        for verdict in result.get("verdicts", [])
        if verdict.get("judgement") == "refused"
    ]
    error = str(result.get("error") or said.strip()[-500:] or "it failed and said nothing")
    return "; ".join([error, *closed])[:LONGEST_REASON]
