"""What a lineage is asked of: the workspace, a version, a commit, an md5, or an answer that a server gave."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pindet.promotion.bench import Bench
from pindet.promotion.errors import PromotionError
from pindet.promotion.revision import BUNDLE, WORKSPACE, Revision, workspace_revision

_MD5 = re.compile(r"[0-9a-f]{6,32}(\.dir)?")
_WHOLE_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_ALLOWED = "workspace, a version, a stage, any revision of git, an md5 that dvc.lock pins, or a server's answer as JSON"


@dataclass(frozen=True)
class Subject:
    """What the walk starts from.

    Attributes:
        revision: that made it.
        said: how the start was found, a sentence.
        version: that an answer names, or nothing.
        bundle_md5: that an answer names, or nothing.
    """

    revision: Revision
    said: str
    version: str = ""
    bundle_md5: str = ""


def find_subject(bench: Bench, text: str) -> Subject:
    """Find what the walk starts from.

    Raises:
        PromotionError: it is nothing of the kind, or no commit pins the md5.
    """
    path = Path(text)
    if path.is_file() and (path.suffix == ".json" or bench.repository.commit(text) is None):
        return _from_answer(bench, path)
    if path.suffix == ".json" and bench.repository.commit(text) is None:
        raise PromotionError(f"the file {text} is not there; a lineage can be asked of {_ALLOWED}")
    if text != WORKSPACE and _MD5.fullmatch(text) and bench.repository.commit(text) is None:
        return _from_md5(bench, text)
    try:
        revision = bench.revision(text)
    except PromotionError as error:
        raise PromotionError(f"{error}; a lineage can be asked of {_ALLOWED}") from error
    return Subject(revision, f"{text} is commit {revision.commit[:10]}")


def _from_answer(bench: Bench, path: Path) -> Subject:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        model = content.get("model", content)
        version, md5 = str(model["version"]), str(model["md5"])
    except OSError as error:
        raise PromotionError(f"{path} can not be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = "is no JSON" if isinstance(error, ValueError) else "names no model by version and md5"
        raise PromotionError(f"{path} {said}; allowed is what POST /v1/detect or GET /v1/model answers") from error
    if not _WHOLE_MD5.fullmatch(md5):
        raise PromotionError(
            f"{path} names a bundle by the md5 {md5!r}; a server answers with 32 hexadecimal digits and .dir"
        )
    found = _from_md5(bench, md5)
    if version in bench.truth.versions:
        commit = bench.truth.versions[version].commit
        found = Subject(bench.at(commit, version), "")
    return Subject(found.revision, f"{path.name} was answered by {version}, bundle {md5}", version, md5)


def _from_md5(bench: Bench, md5: str) -> Subject:
    for version, tag in reversed(bench.truth.versions.items()):
        revision = bench.at(tag.commit, version)
        if path := _pinned_at(revision, md5):
            return Subject(revision, f"{md5} is {path} of {version}")
    here = workspace_revision(bench.repository)
    commits = bench.repository.run("log", "--all", "--format=%H", f"-S{md5}", "--", "dvc.lock").split()
    for commit in commits:
        revision = bench.at(commit)
        if path := _pinned_at(revision, md5):
            return Subject(revision, f"{md5} is {path} of commit {commit[:10]}")
    if here.read("dvc.lock") and (path := _pinned_at(here, md5)):
        return Subject(here, f"{md5} is {path} of the workspace; no commit pins it")
    raise PromotionError(
        f"no commit of this clone pins {md5}; bring others with git fetch --all, or dvc exp pull for experiments"
    )


def _pinned_at(revision: Revision, md5: str) -> str:
    """The path that a revision pins under an md5 or its beginning; the bundle before others."""
    try:
        outs = revision.outs
    except PromotionError:
        return ""
    found = [path for path, pinned in outs.items() if pinned.startswith(md5)]
    return BUNDLE if BUNDLE in found else next(iter(found), "")
