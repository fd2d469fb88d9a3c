"""What git tags say is released: read from the remote that everybody shares, written to it all at once.

Tags are annotated and follow GTO: ``detector@v1.2.0`` registers a version, ``detector#production#7`` puts the commit's
version into a stage, and the same with ``!`` takes it back. Lightweight tags have neither author nor time; GTO leaves
them out, and so does this.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gto.constants import Action
from gto.tag import parse_name

from pindet.promotion.errors import LostError, PromotionError, told
from pindet.promotion.repository import GitError, GitTimeoutError, Repository
from pindet.promotion.truth import Tag, Truth

logger = logging.getLogger(__name__)
_FORMAT = "%00".join(
    ["%(refname:lstrip=2)", "%(objecttype)", "%(objectname)", "%(*objectname)", "%(taggername)", "%(taggeremail)",
     "%(taggerdate:unix)", "%(contents)"]
)  # fmt: skip
_LOCK = re.compile(r"'(?P<file>[^'\n]+\.lock)'")
_LOCKED_S = (0.0, 0.3, 1.0)
"""Pauses before each look at names that another git process may be writing."""
_IDENTITY = re.compile(r"(?P<who>.* <.*>) \d+ (?P<zone>[+-]\d{4})")


@dataclass(frozen=True)
class NewTag:
    """An annotated tag to be made: its name, the commit it is put on, and what it says."""

    name: str
    commit: str
    message: str


def read_truth(repository: Repository, artifact: str, *, refresh: bool = True) -> Truth:
    """Read every tag of an artifact, after fetching what the git remote has and this clone has not.

    Args:
        repository: where to read; tags that only it has, and its remote has not, do not count.
        artifact: its name, ``detector``.
        refresh: ask the remote; without, this clone's tags are believed.

    Raises:
        PromotionError: the remote can not be asked, or a tag here is another than the remote's.
    """
    shared: dict[str, str] | None = None
    missing: dict[str, str] = {}
    if refresh and repository.remote:
        shared = _ask_remote(repository, artifact)
        missing = _fetch(repository, shared, _here(repository, artifact))
    found = [*_read(repository, artifact), *_read_objects(repository, artifact, missing)]
    unshared = [tag.name for tag in found if shared is not None and tag.name not in shared]
    light = [tag.name for tag in found if not tag.is_annotated]
    counted = [tag for tag in found if tag.is_annotated and tag.name not in unshared]
    return Truth(artifact, tuple(counted), tuple(sorted(light)), tuple(sorted(unshared)))


def write_tags(repository: Repository, truth: Truth, tags: Sequence[NewTag]) -> None:
    """Make tags, on the git remote if there is one: all of them or none.

    The tag objects are made without a name; the push gives all of them their names in one transaction, which fails if
    a name was taken in the meantime. A process that is killed before it has changed nothing. This clone's own names
    only follow: that they can not be written is a warning.

    Raises:
        LostError: one of the names is taken.
        PromotionError: git has no author to name, or the remote can not be reached.
    """
    when = max([int(time.time()), *(tag.when + 1 for tag in truth.tags)])  # GTO orders by time, in whole seconds
    made = {tag.name: _make_object(repository, tag, when) for tag in tags}
    if not repository.remote:
        try:
            _create(repository, made, force=False)
        except GitError as error:
            found = _found(repository, truth.artifact, made, error)
            if found != made:
                raise _unwritten(error, made, found, "") from error
        return
    try:
        pairs = [f"{name}:refs/tags/{tag}" for tag, name in made.items()]
        repository.run("push", "--quiet", "--atomic", repository.remote, *pairs)
    except GitError as error:
        found = _found(repository, truth.artifact, made, error)
        if found != made:  # else the answer was lost on the way
            raise _unwritten(error, made, found, f"to {repository.remote} ") from error
        logger.warning("git push failed (%s), but %s has the tags", error.said.strip()[:300], repository.remote)
    try:
        _create(repository, made, force=True)
    except Exception as error:
        logger.warning(
            "%s has the tags, but this clone can not write them (%s); git fetch --tags brings them when that is mended",
            repository.remote, told(error)[:300],
        )  # fmt: skip


def _found(repository: Repository, artifact: str, made: dict[str, str], problem: GitError) -> dict[str, str]:
    """The objects that bear the names of new tags, after git failed to write these."""
    found: dict[str, str] = {}
    for pause_s in _LOCKED_S if _LOCK.search(problem.said) else _LOCKED_S[:1]:
        time.sleep(pause_s)
        try:
            there = _ask_remote(repository, artifact) if repository.remote else _here(repository, artifact)
        except PromotionError as error:
            raise PromotionError(
                f"whether the tags are written is not known: git failed ({problem.said.strip()[:300]}), and {error}. "
                "Then run the same command again, which goes on where this one ended"
            ) from problem
        found = {tag: there[tag] for tag in made if tag in there}
        if found:
            break
    return found


def _unwritten(error: GitError, made: dict[str, str], found: dict[str, str], where: str) -> PromotionError:
    taken = [tag for tag, name in found.items() if name != made[tag]]
    if taken:
        return LostError(
            f"another promotion was faster: {', '.join(taken)} is taken by now; pindet status says what is released, "
            "before you try again"
        )
    if where and isinstance(error, GitTimeoutError):
        return PromotionError(
            f"whether the tags are written is not known: git push gave {error.said.strip()}, and they are not there "
            "yet. In a minute, run pindet reconcile: it finishes the release if they came. If they did not, run the "
            "same command again"
        )
    lock = _LOCK.search(error.said)
    remedy = "Check the address and your right to push tags" if where else "Mend that"
    if lock:
        remedy = f"A git process is writing there, or ended and left {lock['file']}: if none is at work, remove it"
    return PromotionError(
        f"the tags can not be written {where}({error.said.strip()[:500]}); nothing is released. "
        f"{remedy}, then run the same command again"
    )


def _make_object(repository: Repository, tag: NewTag, when: int) -> str:
    try:
        identity = repository.run("var", "GIT_COMMITTER_IDENT").strip()
    except GitError as error:
        raise PromotionError(
            "git does not know who you are, and a release names who made it; run "
            "git config user.name NAME and git config user.email ADDRESS"
        ) from error
    match = _IDENTITY.fullmatch(identity)
    assert match, identity
    head = f"object {tag.commit}\ntype commit\ntag {tag.name}\ntagger {match['who']} {when} {match['zone']}\n"
    return repository.run("mktag", given=f"{head}\n{tag.message.strip()}\n").strip()


def _create(repository: Repository, made: dict[str, str], *, force: bool) -> None:
    verb = "update" if force else "create"
    lines = [f"{verb} refs/tags/{tag} {name}\n" for tag, name in made.items()]
    repository.run("update-ref", "--stdin", given="".join(["start\n", *lines, "prepare\n", "commit\n"]))


def _ask_remote(repository: Repository, artifact: str) -> dict[str, str]:
    assert repository.remote
    patterns = [f"refs/tags/{artifact}@*", f"refs/tags/{artifact}#*"]
    try:
        listed = repository.run("ls-remote", "--tags", repository.remote, *patterns)
    except GitError as error:
        raise PromotionError(
            f"the git remote {repository.remote} can not be asked which versions there are "
            f"({error.said.strip()[:300]}); check the network and its address (git remote -v)"
        ) from error
    pairs = [line.split("\t") for line in listed.splitlines()]
    return {ref.removeprefix("refs/tags/"): name for name, ref in pairs if not ref.endswith("^{}")}


def _here(repository: Repository, artifact: str) -> dict[str, str]:
    return {tag.name: tag.object for tag in _read(repository, artifact)}


def _fetch(repository: Repository, shared: dict[str, str], here: dict[str, str]) -> dict[str, str]:
    """Bring the tags that this clone lacks; return those that it has without being able to name them."""
    for name in sorted(shared.keys() & here.keys()):
        if shared[name] != here[name]:
            raise PromotionError(
                f"the tag {name} of this clone is not the one of {repository.remote}; the shared one counts: "
                f"git tag -d '{name}', then run the command again"
            )
    missing = sorted(shared.keys() - here.keys())
    if not missing:
        return {}
    assert repository.remote
    fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", repository.remote)
    try:
        repository.run(*fetch, *(f"refs/tags/{name}:refs/tags/{name}" for name in missing))
    except GitError as error:  # a lock that was left behind, say: the objects can be read all the same
        repository.run(*fetch, *(f"refs/tags/{name}" for name in missing))
        logger.warning("this clone can not write tags: %s", error.said.strip()[:300])
        written = {tag for tag in missing if repository.commit(f"refs/tags/{tag}")}
        return {tag: shared[tag] for tag in missing if tag not in written}
    return {}


def _read_objects(repository: Repository, artifact: str, made: dict[str, str]) -> list[Tag]:
    """Tags by their objects, for which this clone has no names."""
    found: list[Tag] = []
    for tag, name in made.items():
        if repository.run("cat-file", "-t", name).strip() != "tag":
            record = [tag, "commit", name, "", "", "", "", ""]
        else:
            head, _, message = repository.run("cat-file", "tag", name).partition("\n\n")
            fields = dict(line.split(" ", 1) for line in head.splitlines())
            who, when, _ = fields["tagger"].rsplit(" ", 2)
            record = [tag, "tag", name, fields["object"], who, "", when, message]
        found += _parse(["\0".join(record)], artifact)
    return found


def _read(repository: Repository, artifact: str) -> list[Tag]:
    patterns = [f"refs/tags/{artifact}@*", f"refs/tags/{artifact}#*"]
    listed = repository.run("for-each-ref", f"--format={_FORMAT}%01", *patterns)
    return list(_parse(listed.split("\x01"), artifact))


def _parse(records: Iterable[str], artifact: str) -> Iterable[Tag]:
    for record in records:
        if not record.strip():
            continue
        name, kind, made, target, who, mail, when, message = record.lstrip("\n").split("\0", 7)
        parsed = parse_name(name, raise_on_fail=False)
        action = parsed.get("action")
        if parsed.get("name") == artifact and action is not None and action is not Action.DEPRECATE:
            annotated = kind == "tag"
            yield Tag(
                name=name, object=made, commit=target if annotated else made, is_annotated=annotated,
                version=parsed.get("version", ""), stage=parsed.get("stage", ""),
                takes_back=action in (Action.DEREGISTER, Action.UNASSIGN), number=parsed.get("counter", 0),
                who=f"{who} {mail}".strip(), when=int(when or 0), message=message.strip(),
            )  # fmt: skip
