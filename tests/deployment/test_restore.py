"""Backup and restore: what is refused before Docker is asked for anything, and that the git history comes along."""

import hashlib
import os
import shutil
import subprocess
import tarfile

import pytest

FILES = ["pindet.dump", "mlflow.dump", "mlruns.tar", "dvc_remote.tar", "models.tar", "config.tar", "env.prod"]


# An engine with a database that runs and nothing of its own to say.
RUNNING = """*"ps --quiet --status running database") echo id ;;"""
EMPTY = """"volume inspect"*) exit 1 ;;"""
REFUSING = "*) exit 1 ;;"
BACKUP = "pindet-20260101T020000Z"


def listed(folder):
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines))


def git(root, *arguments):
    options = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "safe.directory=*"]
    return subprocess.run(["git", *options, *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def backup(tmp_path):
    """A backup whose files are all there and mean nothing."""
    folder = tmp_path / BACKUP
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(name.encode() * 100)
    listed(folder)
    return folder


@pytest.fixture
def no_docker(docker):
    """A docker that notes that it was asked, and refuses."""
    return docker(REFUSING)


@pytest.fixture
def project(host):
    """The host's project: two branches, a tag, settings, and every folder that is saved."""
    git(host.root, "init", "--quiet", "--initial-branch", "main")
    for branch in ("main", "side"):
        git(host.root, "checkout", "--quiet", "-B", branch)
        git(host.root, "commit", "--quiet", "--allow-empty", "--message", branch)
    git(host.root, "tag", "-a", "detector@v1.0.0", "-m", "x")
    git(host.root, "checkout", "--quiet", "main")
    host.run("deployment/make_settings.sh")
    for name in ("mlruns", "models", "config", "logs/metrics"):
        (host.root / name).mkdir(parents=True)
    return host


def heads(root):
    """What every branch and tag of a repository is."""
    return dict(line.split()[::-1] for line in git(root, "show-ref", "--heads", "--tags").splitlines())


def saved(host, docker, *arguments):
    """Make a backup; the folder, and what was said."""
    status, said = host.run("operations/backup", *arguments, **docker.environment)
    assert status == 0, said
    return max((host.root / "backups").glob("pindet-*")), said


@pytest.fixture
def whole(project, docker, tmp_path):
    """A backup of the project that can be restored, and the docker of an empty host."""
    folder, _ = saved(project, docker(RUNNING))
    with tarfile.open(folder / "dvc_remote.tar", "w"):
        pass
    (folder / "SHA256SUMS").unlink()
    listed(folder)
    shutil.rmtree(tmp_path / "tools")
    return folder, docker(EMPTY).environment


def test_the_git_history_is_in_the_backup_though_it_is_the_containers_users(project, docker):
    """The guide gives `.git` to the user that the containers run as; git as root then calls it dubious."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "10001:10001", project.root / ".git"], check=True)
        plain = subprocess.run(
            ["git", "-C", project.root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False,
            env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        )  # fmt: skip
        assert "dubious ownership" in plain.stderr
    made = docker(RUNNING)
    made.environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    folder, _ = saved(project, made)
    assert "  project.bundle\n" in (folder / "SHA256SUMS").read_text()
    shown = git(folder, "bundle", "list-heads", "project.bundle")
    assert "refs/heads/side" in shown and "refs/tags/detector@v1.0.0" in shown


def test_the_history_is_that_of_the_folder_that_the_settings_name(project, docker, tmp_path):
    shutil.move(project.root / ".git", tmp_path / "elsewhere.git")
    status, said = project.run("operations/backup", **docker(RUNNING).environment)
    assert status == 1 and "PROJECT_GIT_DIR" in said
    assert not list((project.root / "backups").glob("pindet-*"))
    shutil.rmtree(tmp_path / "tools")
    project.set("PROJECT_GIT_DIR", tmp_path / "elsewhere.git")
    folder, _ = saved(project, docker(RUNNING))
    assert (folder / "project.bundle").is_file()


def test_the_history_comes_back_into_a_clone_of_the_backup(whole, host, tmp_path):
    """As on a new host: what was cloned has one branch, and the other comes with the restoring."""
    folder, environment = whole
    before = heads(host.root)
    shutil.rmtree(host.root / ".git")
    git(tmp_path, "clone", "--quiet", "--branch", "main", folder / "project.bundle", "cloned")
    shutil.move(tmp_path / "cloned" / ".git", host.root / ".git")
    assert "refs/heads/side" not in heads(host.root)
    host.settings.unlink()
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "10001:10001", host.root / ".git"], check=True)
    status, said = host.run("operations/restore", str(folder), **environment)
    assert status == 0, said
    assert heads(host.root) == before
    assert host.settings.read_bytes() == (folder / "env.prod").read_bytes()
    owner = (host.root / ".git").stat().st_uid
    assert {path.stat().st_uid for path in (host.root / ".git").rglob("*")} == {owner}, "the agent could not write tags"


def test_nothing_of_a_repository_that_went_on_is_lost(whole, host):
    """Newer commits and a moved tag stay; what was saved is put beside them, and what is gone comes back."""
    folder, environment = whole
    before = heads(host.root)
    git(host.root, "commit", "--quiet", "--allow-empty", "--message", "newer")
    git(host.root, "branch", "--quiet", "--force", "side", "main")
    git(host.root, "tag", "-f", "-a", "detector@v1.0.0", "-m", "moved")
    now = heads(host.root)
    status, said = host.run("operations/restore", str(folder), **environment)
    assert status == 0, said
    assert heads(host.root) == now
    beside = dict(line.split()[::-1] for line in git(host.root, "show-ref").splitlines() if "refs/restored/" in line)
    assert beside == {
        f"refs/restored/{folder.name}/heads/side": before["refs/heads/side"],
        f"refs/restored/{folder.name}/tags/detector@v1.0.0": before["refs/tags/detector@v1.0.0"],
    }
    assert "detector@v1.0.0 is not what was saved" in said and "refs/heads/main" not in said


def test_without_a_repository_it_is_said_how_to_get_it(whole, host):
    folder, environment = whole
    shutil.rmtree(host.root / ".git")
    status, said = host.run("operations/restore", str(folder), **environment)
    assert status == 1 and f"git clone {folder / 'project.bundle'}" in said


def test_settings_that_are_not_the_saved_ones_are_for_the_operator_to_choose(whole, host):
    folder, environment = whole
    host.set("ADMIN_PASSWORD", "0123456789abcdef0123456789abcdef")
    present = host.settings.read_text()
    status, said = host.run("operations/restore", str(folder), **environment)
    assert status == 1 and str(host.settings) in said and str(folder / "env.prod") in said and "--settings" in said
    assert host.settings.read_text() == present
    assert host.run("operations/restore", "--settings", "present", str(folder), **environment)[0] == 0
    assert host.settings.read_text() == present
    assert host.run("operations/restore", "--settings", "saved", str(folder), **environment)[0] == 0
    assert host.settings.read_bytes() == (folder / "env.prod").read_bytes()
    assert host.settings.with_name(".env.prod.before").read_text() == present


def test_the_last_word_is_pass_or_fail(project, docker, tmp_path):
    folder, said = saved(project, docker(RUNNING))
    assert f"pass  backup: {folder}" in said and "FAIL" not in said
    shutil.rmtree(tmp_path / "tools")
    status, said = project.run("operations/backup", **docker(f"*pg_dump*) exit 1 ;;\n{RUNNING}").environment)
    assert status == 1 and said.splitlines()[-1].startswith("FAIL  backup:")
    assert [path.name for path in (project.root / "backups").iterdir() if path.name != ".lock"] == [folder.name]


def test_only_backups_count_and_go(project, docker):
    """The folder may be shared with others, whose names begin the same way."""
    folder = project.root / "backups"
    foreign = ["pindet-old-site", "pindet-20260101T020000Z.bak", "notes"]
    for name in (*foreign, "pindet-20250101T020000Z", ".pindet-20250101T020000Z.tmp", ".pindet-mine.tmp"):
        (folder / name).mkdir(parents=True)
    made = docker(RUNNING)
    saved(project, made, "--keep", "1")
    there = {path.name for path in folder.iterdir() if path.name != ".lock"}
    assert there >= {*foreign, ".pindet-mine.tmp"} and len(there) == 5
    (folder / "pindet-zzz").mkdir()
    said = project.run("operations/checks", **made.environment)[1]
    assert "pass  backup: " in said
    assert "FAIL  backup: there is none" in project.run("operations/checks", "/nowhere", **made.environment)[1]


def test_a_whole_backup_passes_its_check(host, backup, no_docker):
    _, said = host.run("operations/restore", str(backup), **no_docker.environment)
    assert "every file is what was saved" in said
    assert no_docker.asked()


def test_one_changed_byte_is_refused(host, backup, no_docker):
    path = backup / "dvc_remote.tar"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    status, said = host.run("operations/restore", str(backup), **no_docker.environment)
    assert status == 1 and "damaged; nothing was restored" in said
    assert not no_docker.asked() and not host.settings.exists()


@pytest.mark.parametrize("name", ["mlflow.dump", "env.prod", "SHA256SUMS"])
def test_a_missing_file_is_refused(host, backup, no_docker, name):
    (backup / name).unlink()
    status, said = host.run("operations/restore", str(backup), **no_docker.environment)
    assert (status == 1 and "nothing was restored" in said) or "no whole backup" in said
    assert not no_docker.asked()


@pytest.mark.parametrize("name", ["dvc_remote.tar", "pindet.dump", "project.bundle"])
def test_a_list_that_leaves_a_file_out_is_refused(host, backup, no_docker, name):
    (backup / name).touch()
    sums = backup / "SHA256SUMS"
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if name not in line))
    status, said = host.run("operations/restore", str(backup), **no_docker.environment)
    assert status == 1 and ("lacks dvc_remote.tar" in said or f"SHA256SUMS does not know {name}" in said)
    assert not no_docker.asked()


def test_images_that_are_not_what_was_saved_are_refused(host, no_docker, tmp_path):
    archive = tmp_path / "images.tar.gz"
    archive.write_bytes(b"images")
    (tmp_path / "images.tar.gz.sha256").write_text(f"{'0' * 64}  images.tar.gz\n")
    status, said = host.run("deployment/images.sh", "load", str(archive), **no_docker.environment)
    assert status == 1 and "not what was saved" in said
    assert not no_docker.asked()


@pytest.mark.parametrize("script", ["backup", "cleanup"])
def test_unknown_arguments_are_refused(host, no_docker, script):
    status, said = host.run(f"operations/{script}", "--everything", **no_docker.environment)
    assert status == 1 and "--everything" in said
