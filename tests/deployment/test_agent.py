"""The release agent's parts, on real git repositories and a real DVC remote."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pindet.promotion", reason="promotion is not here")

PROJECT = Path(__file__).parents[2]
AGENT = PROJECT / "docker" / "dvc"
LOCK = """schema: '2.0'
stages:
  export:
    cmd: x
    outs:
    - path: models/bundle
      hash: md5
      md5: {md5}
      size: 1
"""


class Production:
    """A host's repository, a DVC remote, and the agent's clone."""

    def __init__(self, root):
        self.root, self.origin = root, root / "origin"
        self.remote, self.cache, self.clone = root / "remote", root / "cache", root / "clone"
        self.origin.mkdir()
        (self.origin / ".dvc").mkdir()
        (self.origin / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
        (self.origin / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("0" * 32)

    def git(self, *arguments):
        who = {f"GIT_{role}_{what}": "x@localhost" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *arguments], cwd=self.origin, env=os.environ | who, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, md5):
        (self.origin / "dvc.lock").write_text(LOCK.format(md5=md5))
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", md5)
        return self.git("rev-parse", "HEAD")

    def follow(self):
        """As the agent does it; returns the commit."""
        return self.python(
            "from project import Project; from pathlib import Path; import sys;"
            "print(Project(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])).follow())",
            str(self.clone), str(self.origin / ".git"), str(self.remote), str(self.cache),
        )  # fmt: skip

    def python(self, code, *arguments):
        done = self.run("-c", code, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *arguments, **environment):
        path = os.pathsep.join([str(AGENT), str(PROJECT / "src"), str(PROJECT / "serve")])
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=240,
            env=os.environ | {"PYTHONPATH": path, "AGENT_PROJECT": str(self.clone), "DVC_NO_ANALYTICS": "1",
                              "DVC_SITE_CACHE_DIR": str(self.root / "site"), "PROJECT_GIT": str(self.origin / ".git"),
                              "DVC_REMOTE_URL": str(self.remote), "DVC_CACHE_DIR": str(self.cache)} | environment,
        )  # fmt: skip

    def put(self, content, age_days=30):
        """An object in the remote; returns its md5."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        path = self.remote / "files" / "md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        old = path.stat().st_mtime - age_days * 86400
        os.utime(path, (old, old))
        return md5

    def put_folder(self, files):
        """A folder as DVC keeps it; returns the listing's md5."""
        entries = [{"md5": self.put(content), "relpath": name} for name, content in sorted(files.items())]
        md5 = self.put(json.dumps(entries).encode())
        path = self.remote / "files" / "md5" / md5[:2] / md5[2:]
        path.rename(path.with_name(f"{path.name}.dir"))
        return f"{md5}.dir"

    def release(self, files, version="v1.0.0", artifact="detector"):
        """A release file and its objects, which no commit knows."""
        md5 = self.put_folder(files)
        entries = []
        for name, content in sorted(files.items()):
            each = self.put(content)
            key = f"files/md5/{each[:2]}/{each[2:]}"
            entries.append({"path": name, "md5": each, "size": len(content), "key": key})
        content = {"name": artifact, "version": version, "stage": "production", "bundle_md5": md5, "files": entries}
        path = self.remote / "releases" / artifact / "production.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return md5

    def objects(self):
        return {p.parent.name + p.name for p in (self.remote / "files" / "md5").glob("??/*")}


@pytest.fixture
def production(tmp_path):
    return Production(tmp_path)


def test_the_clone_follows_commits_tags_and_removed_tags(production):
    first = production.git("rev-parse", "HEAD")
    assert production.follow() == first
    second = production.commit("1" * 32)
    production.git("tag", "-a", "detector@v1.0.0", "-m", "x")
    assert production.follow() == second
    tags = ["git", "-C", str(production.clone), "tag"]
    assert subprocess.run(tags, capture_output=True, text=True, check=True).stdout.split() == ["detector@v1.0.0"]
    production.git("tag", "-d", "detector@v1.0.0")
    production.follow()
    assert subprocess.run(tags, capture_output=True, text=True, check=True).stdout == ""
    config = (production.clone / ".dvc" / "config.local").read_text()
    assert str(production.remote) in config and "hardlink" not in config


def test_an_origin_that_is_away_is_said(production):
    production.follow()
    (production.origin / ".git").rename(production.origin / "away")
    done = production.run(
        "-c", "from project import *; from pathlib import Path; import sys\n"
        "try: Project(Path(sys.argv[1]), sys.argv[2], 'r', Path('c')).follow()\n"
        "except ProjectError as error: print(error)",
        str(production.clone), str(production.origin / ".git"),
    )  # fmt: skip
    assert "git fetch" in done.stdout, done.stderr


def test_no_released_and_no_committed_object_can_go(production):
    """Released ones that no commit knows, those of old commits, of branches and of tags stay; an orphan goes."""
    released = production.release({"model.onnx": b"released", "golden/0.png": b"image"})
    tagged = production.put_folder({"a": b"tagged"})
    production.commit(tagged)
    production.git("tag", "old")
    branch = production.put(b"branch")
    production.git("checkout", "--quiet", "-b", "side", "HEAD~1")
    production.commit(branch)
    beside = production.put(b"beside")  # as restore puts the saved branch beside one that went on
    production.git("update-ref", "refs/restored/pindet-20260101T020000Z/heads/main", production.commit(beside))
    production.git("reset", "--quiet", "--hard", "HEAD~1")
    production.git("checkout", "--quiet", "main")
    production.commit("f" * 32 + ".dir")  # never pushed: nothing of it is here
    kept = production.objects()
    orphan, new = production.put(b"orphan"), production.put(b"new", age_days=1)
    production.follow()
    said = production.run(str(AGENT / "unreferenced.py"), "--older-than", "14")
    assert (said.returncode, said.stderr) == (0, "")
    assert "1 unreferenced objects, 6 bytes could go" in said.stdout
    assert production.objects() == kept | {orphan, new}
    done = production.run(str(AGENT / "unreferenced.py"), "--older-than", "14", "--remove")
    assert "removed" in done.stdout
    assert production.objects() == kept | {new}
    assert {released.removesuffix(".dir"), tagged.removesuffix(".dir"), branch, beside} <= {
        name.removesuffix(".dir") for name in production.objects()
    }


def test_what_was_pinned_since_the_agent_looked_stays(production):
    """Else objects of a commit of this minute would go; and where it can not be seen, nothing goes."""
    production.follow()
    late, orphan = production.put(b"late"), production.put(b"orphan")
    production.commit(late)
    done = production.run(str(AGENT / "unreferenced.py"), "--older-than", "14", "--remove")
    assert done.returncode == 0, done.stderr
    assert production.objects() == {late}
    production.put(b"orphan")
    (production.origin / ".git").rename(production.origin / "away")
    done = production.run(str(AGENT / "unreferenced.py"), "--older-than", "14", "--remove")
    assert done.returncode == 1 and "nothing was removed" in done.stderr
    assert production.objects() == {late, orphan}


def test_nothing_goes_while_a_release_can_not_be_read(production):
    production.release({"model.onnx": b"released"})
    production.put(b"orphan")
    production.follow()
    (production.remote / "releases" / "detector" / "production.json").write_text("{")
    before = production.objects()
    done = production.run(str(AGENT / "unreferenced.py"), "--older-than", "0", "--remove")
    assert done.returncode == 1 and "nothing was removed" in done.stderr
    assert production.objects() == before


def test_the_artifact_of_promotion_yaml_is_what_is_verified_and_kept(production):
    production.release({"model.onnx": b"released"}, artifact="screws")
    (production.origin / "promotion.yaml").write_text("artifact: screws\n")
    production.commit("2" * 32)
    production.follow()
    look = "from agent import *; a = Agent(open_project(), 0.0, threading.Lock()); a._verify(); print(a._verified)"
    assert "'production': {'version': 'v1.0.0'" in production.python(look)
    production.release({"model.onnx": b"of another artifact"})
    kept = production.objects()
    done = production.run(str(AGENT / "unreferenced.py"), "--older-than", "0", "--remove")
    assert done.returncode == 0 and production.objects() == kept, done.stderr


def test_a_damaged_object_is_seen_and_makes_the_agent_unhealthy(production, tmp_path):
    production.release({"model.onnx": b"released", "golden/0.png": b"image"})
    production.follow()
    look = (
        "import json; from dataclasses import asdict; from pathlib import Path; import sys;"
        "from released import *; p = Path(sys.argv[1]); print(json.dumps(asdict(verify(p, release_texts(p)))))"
    )
    seen = json.loads(production.python(look, str(production.clone)))
    assert (seen["objects"], seen["damaged"]) == (2, [])
    assert seen["releases"]["production"]["version"] == "v1.0.0"
    victim = next(p for p in (production.remote / "files" / "md5").glob("??/*") if p.read_bytes() == b"released")
    victim.write_bytes(b"relaesed")
    seen = json.loads(production.python(look, str(production.clone)))
    assert len(seen["damaged"]) == 1 and "model.onnx" in seen["damaged"][0]
    state = tmp_path / "agent.json"
    for damaged, status in (([], 0), (seen["damaged"], 1)):
        state.write_text(json.dumps({"ts": time.time(), "damaged": damaged, "problems": []}))
        assert production.run(str(AGENT / "healthy.py"), AGENT_STATE=str(state)).returncode == status
    state.write_text(json.dumps({"ts": 0, "damaged": [], "problems": []}))
    assert production.run(str(AGENT / "healthy.py"), AGENT_STATE=str(state)).returncode == 1


def test_release_begins_with_what_is_committed_now(production):
    """Not with what the agent saw last: the old commit would be promoted again, and nothing said."""
    production.follow()
    new = production.commit("1" * 32)

    def follow():
        done = production.run(str(AGENT / "follow.py"))
        assert done.returncode == 0
        return done.stderr

    def head():
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, cwd=production.clone, capture_output=True, text=True, check=True).stdout.strip()

    assert follow() == ""
    assert head() == new
    (production.origin / ".git").rename(production.origin / "gone")
    assert "going on with what the agent fetched last" in follow()
    assert head() == new


def test_the_tag_of_a_wish_is_by_who_wished_at_the_agents_address(production, tmp_path):
    """``promoted_by`` of the release is the tagger: of the page's users, and not the agent."""
    production.follow()
    program = tmp_path / "bin" / "pindet"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\ngit tag -a \"detector@$5\" -m \"$7\" && echo '{\"changed\": true}'\n")
    program.chmod(0o755)
    code = (
        "from fulfil import *; from pathlib import Path; import sys;"
        "print(fulfil(Wish(kind='promote', stage='production', version='v1.0.0', by='anna'), Path(sys.argv[1])))"
    )
    environment = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "GIT_COMMITTER_NAME": "pindet production",
        "GIT_COMMITTER_EMAIL": "agent@plant.example",
    }  # fmt: skip
    done = production.run("-c", code, str(production.clone), **environment)
    assert "what='done'" in done.stdout, done.stdout + done.stderr
    said = ["git", "for-each-ref", "--format=%(taggername) %(taggeremail)", "refs/tags/detector@v1.0.0"]
    tagger = subprocess.run(said, cwd=production.clone, capture_output=True, text=True, check=True).stdout.strip()
    assert tagger == "anna <agent@plant.example>"
