"""What running servers answer with, and whether that is what is released."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pindet_serve.client import Client
from pindet_serve.client.errors import ClientError

from pindet.promotion.bench import Bench
from pindet.promotion.revision import BUNDLE

ANSWER_WITHIN = 3.0
"""Seconds."""
_ROLLED_BACK = "rolled back at the server; POST /v1/model/reload serves what is released"


@dataclass(frozen=True)
class ServerState:
    """A server.

    Attributes:
        url: of it.
        is_reachable: whether it answered.
        version: that it serves.
        md5: of the bundle that it serves.
        stage: that it follows; empty for a workspace.
        drift: why that is not what the stage holds; empty if it is, or if it follows none.
        problem: why it did not answer, or refused what it should load.
    """

    url: str
    is_reachable: bool
    version: str = ""
    md5: str = ""
    stage: str = ""
    drift: str = ""
    problem: str = ""


def ask_servers(bench: Bench, urls: Sequence[str]) -> list[ServerState]:
    """Ask servers at the same time; a token for them comes from ``PINDET_TOKEN``."""
    if not urls:
        return []
    with ThreadPoolExecutor(max_workers=min(16, len(urls))) as pool:
        return list(pool.map(lambda url: _ask(bench, url), urls))


def _ask(bench: Bench, url: str) -> ServerState:
    try:
        model = Client(url, token=os.environ.get("PINDET_TOKEN") or None, timeout_s=ANSWER_WITHIN).model()
        version, md5, stage = str(model["version"]), str(model["md5"]), str(model["stage"])
        refused, declined = str(model.get("refused", "")), model.get("declined")
    except (ClientError, ValueError, KeyError, TypeError, OSError) as error:
        return ServerState(url, False, problem=str(error) or type(error).__name__)
    placed = bench.truth.placed(stage) if stage else None
    drift = ""
    pinned = bench.at(placed.commit).outs.get(BUNDLE) if placed else None
    if placed is not None and version != placed.version:
        drift = f"serves {version}, {stage} holds {placed.version}{f': {_ROLLED_BACK}' if declined else ''}"
    elif placed is not None and md5 != pinned:
        drift = f"serves bundle {md5} as {version}, whose commit pins {pinned}"
    elif stage and placed is None:
        drift = f"serves {version}, {stage} holds nothing"
    return ServerState(url, True, version, md5, stage, drift, refused)
