"""The scripts of a running stack, asked of a docker that answers as a stack would."""

import configparser
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
REPLICAS = """*"ps --quiet api") echo old ;;
*"ps --all --quiet api") printf 'old\\nnew\\n' ;;
inspect*) echo healthy ;;
"""


def test_an_upgrade_says_why_it_could_not_end(host, docker):
    host.run("deployment/make_settings.sh")
    failing = docker(REPLICAS + """*"--scale api=1 api") echo 'no space left' >&2; exit 1 ;;""")
    status, said = host.run("operations/upgrade", **failing.environment)
    assert status == 1 and "no space left" in said and "upgraded" not in said


def test_compose_takes_the_gpu_file_where_the_settings_say_so(host, docker):
    """Else a command of the guide would make the api anew on the CPU."""
    made = docker()
    assert host.run("deployment/compose", "ps", **made.environment) == (
        1, f"compose: {host.settings} is not there; run start_production_with_mlops.sh --init\n"
    )  # fmt: skip
    host.run("deployment/make_settings.sh")
    for gpu in ("off", "on"):
        host.set("GPU", gpu)
        assert host.run("deployment/compose", "--profile", "monitoring", "up", "-d", **made.environment)[0] == 0
        files = [word.rpartition("/")[2] for word in made.asked()[-1].split() if word.endswith(".yml")]
        assert ("compose.gpu.yml" in files) == (gpu == "on")
        assert {"docker-compose.prod.yml", "docker-compose.prod.mlops.yml"} <= set(files)
        assert made.asked()[-1].endswith("--profile monitoring up -d")


IMAGES = """*"--profile training --profile monitoring config --images") printf '%s\\n' a training prometheus ;;
*"config --images") echo a ;;
"image inspect prometheus") exit 1 ;;
save*) echo saved ;;
"""


def test_every_image_that_is_here_is_carried(host, docker, tmp_path):
    """That of the trainings too, which can not be built without a network; those of a profile only where they are."""
    host.run("deployment/make_settings.sh")
    made = docker(IMAGES)
    status, said = host.run("deployment/images.sh", "save", str(tmp_path / "images.tar.gz"), **made.environment)
    assert status == 0, said
    assert "save a training" in made.asked()


def test_the_units_of_systemd_run_the_backup():
    units = {}
    for path in (PROJECT / "scripts" / "operations" / "systemd").iterdir():
        units[path.name] = configparser.ConfigParser()
        units[path.name].optionxform = str
        units[path.name].read(path)
    service, timer = units["pindet-backup.service"]["Service"], units["pindet-backup.timer"]
    script = Path(service["ExecStart"]).relative_to(service["WorkingDirectory"])
    assert (PROJECT / script).stat().st_mode & 0o111
    assert timer["Timer"]["OnCalendar"] and timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.parametrize("guide", ["deployment.md", "deployment.zh-CN.md"])
def test_commands_of_the_guides_keep_the_gpu(guide):
    """But for the two that start the stack by hand, each goes through the script that knows the files."""
    text = (PROJECT / "docs" / guide).read_text("utf-8")
    assert re.findall(r"docker compose (?:--|…|-f).*", text) == [
        "docker compose --env-file .env.prod -f docker-compose.prod.yml up -d",
        "docker compose --env-file .env.prod -f docker-compose.prod.mlops.yml up -d",
    ]
    for path in re.findall(r"scripts/[a-z_./-]+\w", text):
        assert (PROJECT / path).exists(), path
