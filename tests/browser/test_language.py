"""Both languages say everything, and the scripts ask for nothing that they can not say."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pindet_serve.api.page import WEB

ENTRY = re.compile(r'^  "([^"]+)": "(.*)",$', re.MULTILINE)
STARTS = ("start", "app", "docs")
SCRIPTS = [path for path in WEB.rglob("*.js") if path.parent.name != "i18n"]


def dictionary(language):
    text = (WEB / "i18n" / f"{language}.js").read_text("utf-8")
    entries = ENTRY.findall(text)
    assert len(entries) == len(dict(entries)), "a key is there twice"
    assert len(entries) == len(re.findall(r'^  "', text, re.MULTILINE)), "a line that is no entry"
    return dict(entries)


def asked():
    """The keys that scripts name whole, and those of which they name the beginning."""
    text = "\n".join(path.read_text("utf-8") for path in SCRIPTS)
    whole = set(re.findall(r'"([a-z]\w*(?:\.\w+)+)"', text))
    begun = set(re.findall(r"\bt(?:Or)?\(`([a-z_.]+)\$\{", text))
    return whole, begun


def published():
    """The types of events that the Python sources publish; of those that are put together, the beginning."""
    call = re.compile(r'(?:\b_?publish|append_local|announce)\(\s*f?"([a-z_]+(?:\.[a-z_]+|\.(?=\{))?)')
    folders = (WEB.parent, WEB.parents[2] / "src/pindet")
    texts = [path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py")]
    return {type for text in texts for type in call.findall(text)}


def test_both_languages_have_the_same_keys():
    english, chinese = dictionary("en"), dictionary("zh")

    assert len(english) > 250
    assert english.keys() == chinese.keys()
    assert all(english.values())
    assert all(chinese.values())


def test_both_languages_fill_in_the_same_values():
    english, chinese = dictionary("en"), dictionary("zh")
    for key, text in english.items():
        named = [{name for name, *_ in re.findall(r"\{(\w+)(\|[^}]*)?\}", one)} for one in (text, chinese[key])]
        assert named[0] == named[1], key


def test_chinese_is_chinese():
    same_in_both = {"app.title", "docs.sockets"}
    for key, text in dictionary("zh").items():
        if key not in same_in_both:
            assert re.search(r"[\u4e00-\u9fff]", text), key
        assert not re.search(r"[\u4e00-\u9fff][,;:?!]", text), f"{key}: half-width punctuation after Chinese"


def test_every_key_that_is_asked_for_is_there_and_every_one_there_is_asked_for():
    english = dictionary("en")
    whole, begun = asked()
    families = {key.split(".")[0] for key in english}
    files = re.compile(r"\.(js|css|html|svg|json|png|csv|coco)$")
    for key in whole:
        known_elsewhere = key.startswith(("model.", "training.", "job.", "service.", "pindet."))  # events and storage
        if key.split(".")[0] in families and not files.search(key) and not known_elsewhere:
            assert key in english, key
    for start in begun:
        assert any(key.startswith(start) for key in english), start
    unused = {key for key in english if key not in whole and not any(key.startswith(start) for start in begun)}
    assert unused == set()


def titles():
    """What the server calls its errors, read from the calls that raise them."""
    for path in WEB.parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Problem":
                yield from (one.value for one in ast.walk(call.args[1]) if isinstance(one, ast.Constant))


def test_every_error_of_the_server_has_a_chinese_title():
    text = (WEB / "i18n/problems-zh.js").read_text("utf-8")
    said = dict(ENTRY.findall(text))
    named = set(titles()) | {"Busy", "Release refused"}  # chosen before the call

    assert len(named) > 30
    assert said.keys() == named
    assert all(re.search(r"[\u4e00-\u9fff]", words) for words in said.values())


def test_every_event_that_is_listed_has_words():
    said = [key.removeprefix("event.") for key in dictionary("en") if key.startswith("event.")]
    unlisted = {"heartbeat", "snapshot", "ping", "training.progress"}  # the page shows what they tell, not them
    types = published() - unlisted
    assert {"model.loaded", "service.redis_lost", "service.history_lost", "training.started", "job."} <= types
    for type in types:
        assert type in said or (type.endswith(".") and any(one.startswith(type) for one in said)), type


def test_every_deed_that_is_recorded_has_words():
    said = [key.removeprefix("users.did.") for key in dictionary("en") if key.startswith("users.did.")]
    recorded = re.compile(r'(?:\baction=|_entry\(request, admin, )f?"([a-z_]+(?:\.[a-z_]+|\.(?=\{))?)"?')
    deeds = {deed for path in WEB.parent.rglob("*.py") for deed in recorded.findall(path.read_text("utf-8"))}
    assert {"sign_in", "user.create", "user.remove", "release."} <= deeds
    deeds |= {"model.reload", "model.rollback"}  # taken from the addresses that were asked
    for deed in deeds:
        assert deed in said or (deed.endswith(".") and any(one.startswith(deed) for one in said)), deed


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_the_day_begins_at_hour_0(server, open_page, language):
    page = open_page(server, "docs", locale=language)
    midnight = """import("/web/format.js").then(({ clock, minute }) => {
        const ms = new Date(2026, 0, 1, 0, 5).getTime();
        return [clock(ms), minute(ms)];
    })"""
    assert page.evaluate(midnight) == ["00:05:00", "00:05"]


def test_the_types_hold(tmp_path):
    """TypeScript's checker, strict, over the JSDoc: keys of the dictionaries, fields of answers, elements."""
    root = WEB.parents[1]
    if tsc := shutil.which("tsc"):
        command = [tsc, "-p", "tsconfig.json"]
    else:
        deno = pytest.importorskip("deno", reason="neither tsc nor deno is installed (requirements/dev.in)")
        command = [deno.find_deno_bin(), "check", "--quiet", "--config", "tsconfig.json"]
        command += [f"pindet_serve/web/{name}.js" for name in STARTS]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["switches", *STARTS])
def test_the_checker_would_see_a_mistake(tmp_path, name):
    deno = pytest.importorskip("deno", reason="deno is not installed (requirements/dev.in)")
    shutil.copytree(WEB.parents[1], tmp_path / "serve", ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / f"serve/pindet_serve/web/{name}.js"
    script.write_text(script.read_text("utf-8") + "\ndocument.title = blue;\n", "utf-8")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    command = [deno.find_deno_bin(), "check", "--quiet", "--config", "tsconfig.json"]
    command += [f"pindet_serve/web/{name}.js" for name in STARTS]
    done = subprocess.run(
        command, cwd=Path(tmp_path / "serve"), env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode != 0
    assert "blue" in done.stdout + done.stderr
