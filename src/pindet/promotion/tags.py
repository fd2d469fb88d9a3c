"""What git tags say is released: read from the remote that everybody shares, written to it all at once.

Tags are annotated and follow GTO: ``detector@v1.2.0`` registers a version, ``detector#production#7`` puts the commit's
version into a stage, and the same with ``!`` takes it back. Lightweight tags have neither author nor time; GTO leaves
them out, and so does this.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gto.constants import Action
from gto.tag import parse_name

from pindet.promotion.errors import LostError, PromotionError
from pindet.promotion.repository import GitError, Repository
from pindet.promotion.truth import Tag, Truth

_FORMAT = "%00".join(
    ["%(refname:lstrip=2)", "%(objecttype)", "%(objectname)", "%(*objectname)", "%(taggername)", "%(taggeremail)",
     "%(taggerdate:unix)", "%(contents)"]
)  # fmt: skip
_TAKEN = ("already exists", "cannot lock ref", "failed to update ref", "reference already exists", "would clobber")
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
    if refresh and repository.remote:
        shared = _ask_remote(repository, artifact)
        here = {tag.name: tag.object for tag in _read(repository, artifact)}
        _fetch(repository, shared, here)
    found = _read(repository, artifact)
    unshared = [tag.name for tag in found if shared is not None and tag.name not in shared]
    light = [tag.name for tag in found if not tag.is_annotated]
    counted = [tag for tag in found if tag.is_annotated and tag.name not in unshared]
    return Truth(artifact, tuple(counted), tuple(sorted(light)), tuple(sorted(set(unshared) - set(light))))


def write_tags(repository: Repository, truth: Truth, tags: Sequence[NewTag]) -> None:
    """Make tags, on the git remote if there is one: all of them or none.

    The tag objects are made without a name; the push gives all of them their names in one transaction, which fails if
    a name was taken in the meantime. A process that is killed before it has changed nothing.

    Raises:
        LostError: one of the names is taken.
        PromotionError: git has no author to name, or the remote can not be reached.
    """
    when = max([int(time.time()), *(tag.when + 1 for tag in truth.tags)])  # GTO orders by time, in whole seconds
    made = {f"refs/tags/{tag.name}": _make_object(repository, tag, when) for tag in tags}
    try:
        if repository.remote:
            pairs = [f"{name}:{ref}" for ref, name in made.items()]
            repository.run("push", "--quiet", "--atomic", repository.remote, *pairs)
            _create(repository, made, force=True)
        else:
            _create(repository, made, force=False)
    except GitError as error:
        if any(sign in error.said for sign in _TAKEN):
            names = ", ".join(tag.name for tag in tags)
            raise LostError(f"another promotion was faster: of {names} at least one is taken by now") from error
        where = f"to {repository.remote} " if repository.remote else ""
        raise PromotionError(
            f"the tags can not be written {where}({error.said.strip()[:500]}); nothing is released. "
            "Check the address and your right to push tags, then run the same command again"
        ) from error


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
    lines = [f"{verb} {ref} {name}\n" for ref, name in made.items()]
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


def _fetch(repository: Repository, shared: dict[str, str], here: dict[str, str]) -> None:
    for name in sorted(shared.keys() & here.keys()):
        if shared[name] != here[name]:
            raise PromotionError(
                f"the tag {name} of this clone is not the one of {repository.remote}; the shared one counts: "
                f"git tag -d '{name}', then run the command again"
            )
    missing = sorted(shared.keys() - here.keys())
    if missing:
        assert repository.remote
        repository.run(
            "fetch", "--quiet", "--no-tags", repository.remote, *(f"refs/tags/{n}:refs/tags/{n}" for n in missing)
        )


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
