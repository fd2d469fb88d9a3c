"""What scripts rely on: exit statuses, JSON, completion, the CI examples, and the event on the status bus."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
import yaml
from pindet_serve.settings import Settings
from typer.testing import CliRunner

from pindet.cli import app
from pindet.promotion.bench import Bench, open_bench
from pindet.promotion.commands.options import complete_revs, complete_stages, complete_versions
from pindet.promotion.commands.promote import outcome_of
from pindet.promotion.errors import LostError
from pindet.promotion.halfway import telling_how_far
from pindet.promotion.objects import Objects
from pindet.promotion.promote import Wish, promote
from pindet.promotion.rollback import rollback
from pindet.promotion.texts import Texts

EXAMPLES = Path(__file__).parents[2] / "docs/ci-examples"


def quiet(*_):
    pass


def test_a_refusal_is_status_3_and_json_with_every_verdict(project):
    project.write("notes.txt", "x")
    said = json.loads(project.pindet("promote", "--json", status=3))
    assert said["exit_code"] == 3 and "clean tree" in said["error"]
    assert {verdict["gate"]: verdict["judgement"] for verdict in said["verdicts"]}["clean tree"] == "refused"


def test_a_release_that_stopped_after_its_tags_is_status_5_and_json_with_what_is_left(project):
    project.remote.mkdir()
    (project.remote / "releases").write_text("no folder")
    said = json.loads(project.pindet("promote", "--json", status=5))
    assert (said["stage"], said["version"]) == ("production", "v1.0.0")
    assert said["commit"] == project.git("rev-parse", "HEAD")
    assert said["exit_code"] == 5 and "tags: v1.0.0 in production" in said["done"]
    assert "release file of production" in said["left"] and not set(said["left"]) & set(said["done"])
    (project.remote / "releases").unlink()
    left = said["left"]
    assert json.loads(project.pindet("reconcile", "--json"))["changed"] == left


def asked(project, monkeypatch, *arguments):
    """Type a command in this process; return its exit status, its JSON and its standard error."""
    monkeypatch.chdir(project.root)
    result = CliRunner().invoke(app, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout), result.stderr


def test_an_error_that_nobody_foresaw_is_status_5_after_tagging_and_1_before_with_json(project, monkeypatch):
    def broken(*_):
        raise KeyError("key")

    with monkeypatch.context() as patch:
        patch.setattr(Objects, "sizes", broken)
        status, said, line = asked(project, monkeypatch, "promote")
        assert status == said["exit_code"] == 1 and not project.tags()
        assert "KeyError in test_scripting.py, line " in said["error"] and line.count("\n") == 1
    with monkeypatch.context() as patch:
        patch.setattr(Texts, "write", broken)
        status, said, line = asked(project, monkeypatch, "promote")
        assert status == said["exit_code"] == 5 and "release file of production" in said["left"]
        assert "KeyError in test_scripting.py" in said["error"] and "pindet reconcile" in line
        status, said, _ = asked(project, monkeypatch, "reconcile")
        (failed,) = said["failed"]
        assert status == 5 and "not the release file of production" in failed and "KeyError" in failed
    assert asked(project, monkeypatch, "reconcile")[0] == 0


def test_a_tag_that_can_not_be_read_again_is_status_5(project, monkeypatch):
    real = Bench.refresh

    def broken(bench):
        if real(bench).versions:
            raise KeyError("key")

    monkeypatch.setattr(Bench, "refresh", broken)
    status, said, _ = asked(project, monkeypatch, "promote")
    assert status == 5 and "the tags are written, but can not be read again: KeyError" in said["error"]


def test_a_lock_that_dvc_did_not_write_is_one_line_for_every_command(project):
    project.pindet("promote")
    project.write("dvc.lock", "schema: '2.0'\nstages: {train: [1]}\n")
    project.commit()
    for command in (["promote"], ["status"], ["lineage", "HEAD"], ["compare", "champion", "HEAD"]):
        said = json.loads(project.pindet(*command, "--json", status=1))
        assert "dvc.lock" in (" ".join(said["unknown"]) if command == ["status"] else said["error"])
        assert "Traceback" not in project.said


def test_a_promotion_that_lost_is_told_what_the_stage_holds(shared, clone):
    other = clone(shared)
    with open_bench(other.root) as slow:
        other.train(score=0.8)
        with open_bench(shared.root) as fast:
            promote(fast, Wish(), quiet, quiet)
        with pytest.raises(LostError) as error, telling_how_far(slow, "production", quiet) as say:
            promote(slow, Wish(), quiet, say)
    told = outcome_of(error.value)
    assert (told["version"], told["commit"], told["left"]) == ("v1.0.0", shared.git("rev-parse", "HEAD"), [])


@pytest.mark.parametrize("path", ["params.yaml", "raw.dvc", "promotion.yaml"])
def test_a_file_with_merge_markers_is_one_line_and_json(path, project):
    project.write(path, "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n")
    project.commit()
    said = json.loads(project.pindet("lineage", "HEAD", "--json", status=1))
    assert path in said["error"] and "can not be read" in said["error"]
    assert len(project.said.strip().splitlines()) == 1 and "Traceback" not in project.said


@pytest.mark.parametrize("command", ["promote", "rollback", "reconcile", "status", "compare", "lineage"])
def test_outside_a_project_each_command_says_so_in_one_line(command, tmp_path, project):
    project.root = tmp_path / "nowhere"
    project.root.mkdir()
    project.pindet(command, status=1)
    assert "is no git repository" in project.said and "Traceback" not in project.said


def test_completion_knows_versions_stages_and_branches(project, monkeypatch):
    project.promote()
    monkeypatch.chdir(project.root)
    assert complete_versions("v1") == ["v1.0.0"] and complete_stages("p") == ["production"]
    project.git("branch", "feature/x")
    project.git("update-ref", f"refs/exps/ab/{'c' * 38}/wise-owl", "HEAD")
    assert complete_revs("") == [
        "v1.0.0", "production", "champion", "workspace", "feature/x", "main", "wise-owl",
    ]  # fmt: skip
    monkeypatch.chdir("/")
    assert complete_revs("") == ["champion", "workspace"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pindet promote --rev ", ["champion", "feature/x", "main"]),
        ("pindet promote --rev fea", ["feature/x"]),
        ("pindet lineage ", ["champion", "workspace", "feature/x", "main"]),
        ("pindet rev", []),
        ("pindet rec", ["reconcile"]),
    ],
)
def test_a_shell_is_offered_names_as_git_has_them(typed, offered, project):
    project.git("branch", "feature/x")
    asked = {"_PINDET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['pindet']; from pindet.cli import main; main()"],
        cwd=project.root, env=os.environ | asked, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.stdout.split() == offered, done.stderr


def commands_of(text):
    """Every use of pindet in the scripts of a CI file."""
    return [
        shlex.split(found.split(" || ")[0].split(" 2>&1")[0]) for found in re.findall(r"pindet (?!on)[a-z].*", text)
    ]


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_ci_examples_use_commands_and_options_that_there_are(name):
    text = (EXAMPLES / name).read_text("utf-8")
    content = yaml.safe_load(text)
    used = commands_of("\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    assert {each[1] for each in used} == {"promote", "compare", "reconcile"}
    group = typer.main.get_command(app)
    for _, command, *arguments in used:
        group.commands[command].make_context(command, arguments)  # fails for an option that there is not
    jobs = content.get("jobs", content)
    assert {"compare", "promote"} <= jobs.keys()


def test_both_ci_examples_type_the_same():
    """One of them is run for real, with the pipeline's tests."""
    typed = [
        re.findall(r"(?m)(?:pindet|dvc) (?:[a-z]+ ).*", "\n".join(
            line for line in (EXAMPLES / name).read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
        ))
        for name in ("github-actions.yml", "gitlab-ci.yml")
    ]  # fmt: skip
    said = [[re.sub(r'-m "[^"]*"', "-m", line) for line in lines] for lines in typed]
    assert said[0] == said[1] and len(said[0]) > 5


def program(folder, name, text):
    path = folder / name
    path.write_text(f'#!/bin/sh\necho {name} "$@" >> {folder}/log\n{text}\n')
    path.chmod(0o755)


def typed_by(job):
    """The last of the shell of a job of either example, which promotes."""
    return job["steps"][-1]["run"] if "steps" in job else "\n".join(job["script"])


@pytest.mark.parametrize(("status", "ends"), [(0, 0), (3, 3), (5, 0)])
@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_the_job_that_promotes_ends_as_the_promotion_does_or_finishes_it(name, status, ends, shared, tmp_path):
    content = yaml.safe_load((EXAMPLES / name).read_text("utf-8"))
    program(tmp_path, "pindet", f'if [ "$1" = promote ]; then exit {status}; fi')
    here = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "MESSAGE": "a b", "CI_COMMIT_TITLE": "a b"}
    command = ["bash", "-e", "-o", "pipefail", "-c", typed_by(content.get("jobs", content)["promote"])]
    done = subprocess.run(command, cwd=shared.root, env=os.environ | here, capture_output=True, text=True)
    assert done.returncode == ends, done.stderr
    promoted = "pindet promote --rev HEAD --stage production -m a b"
    assert (tmp_path / "log").read_text().splitlines() == [promoted, *(["pindet reconcile"] if status == 5 else [])]


def test_code_that_nobody_has_read_gets_no_token_that_pushes():
    gitlab, github = (
        yaml.safe_load((EXAMPLES / f"{n}.yml").read_text("utf-8")) for n in ("gitlab-ci", "github-actions")
    )
    assert "RELEASE_TOKEN" not in str(gitlab["compare"]) and "RELEASE_TOKEN" in str(gitlab["promote"])
    assert "NOTES_TOKEN" in str(gitlab["compare"]) and "NOTES_TOKEN" not in str(gitlab["promote"])
    assert github["jobs"]["compare"]["permissions"]["contents"] == "read" and "env" not in github
    assert gitlab["promote"]["environment"] == github["jobs"]["promote"]["environment"] == "production"


@pytest.mark.parametrize("known", ["", "77"])
def test_github_s_comment_is_written_over_by_its_marker(known, tmp_path):
    steps = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))["jobs"]["compare"]["steps"]
    step = next(step for step in steps if step.get("name") == "Comment")
    judged = next(step["run"] for step in steps if step.get("name") == "Judge")
    marker = re.search(r'startswith\("(.*)"\)', step["env"]["OURS"])[1]
    assert judged.split("\n")[1].strip().startswith(f"echo '{marker}'")
    program(tmp_path, "gh", f'case "$*" in *--jq*) echo {known} ;; esac')
    here = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "NUMBER": "7",
        "OURS": "",
        "GITHUB_REPOSITORY": "a/b",
    }
    subprocess.run(["bash", "-e", "-c", step["run"]], env=os.environ | here, check=True)
    last = (tmp_path / "log").read_text().splitlines()[-1]
    written = "gh api --silent --method PATCH repos/a/b/issues/comments/77 --field body=@comment.md"
    assert last == (written if known else "gh pr comment 7 --body-file comment.md")


@pytest.mark.skipif(not shutil.which("jq"), reason="there is no jq")
def test_github_s_comment_is_the_one_that_the_workflow_wrote():
    steps = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text("utf-8"))["jobs"]["compare"]["steps"]
    ours = next(step["env"]["OURS"] for step in steps if step.get("name") == "Comment")
    bot, marked = "github-actions[bot]", "<!-- pindet -->\n## Detector"
    comments = [(1, bot, "coverage"), (2, bot, marked), (3, "anna", marked), (4, bot, f"> {marked}")]
    given = json.dumps([{"id": number, "user": {"login": who}, "body": body} for number, who, body in comments])
    done = subprocess.run(["jq", ours], input=given, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]


def test_a_server_looks_often_enough_to_follow_a_change_within_ten_seconds():
    assert 0 < Settings().follow_s <= 5


@pytest.fixture
def redis_url(free_port, tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("there is no redis-server")
    command = ["redis-server", "--port", str(free_port), "--save", "", "--dir", str(tmp_path)]
    with (tmp_path / "redis.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"redis://127.0.0.1:{free_port}/0"
    process.kill()
    process.wait(10)


def test_servers_hear_of_a_release_on_the_bus_and_a_bus_that_is_away_stops_nothing(project, redis_url, monkeypatch):
    redis = pytest.importorskip("redis")
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    for _ in range(200):
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.1)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with open_bench(project.root) as bench:
        promote(bench, Wish(), quiet, quiet)
        promote(bench, Wish(), quiet, quiet)  # nothing changed: nothing is said
        project.train(score=0.8)
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
        promote(bench, Wish(), quiet, quiet)
        monkeypatch.setenv("REDIS_URL", redis_url)
        rollback(bench, "production", quiet, quiet)
    events = [json.loads(fields["event"]) for _, fields in client.xrange("{pindet:status}:events")]
    client.close()
    told = [(event["type"], event["data"]["version"]) for event in events]
    assert told == [("release.promoted", "v1.0.0"), ("release.rolled_back", "v1.0.0")]
    assert events[0]["data"]["md5"] == project.pinned(rev="HEAD~1")
