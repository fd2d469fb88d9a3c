"""What is there in two languages has the same commands, headings, tables and links in both."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDES = ["README.md", "docs/page.md", "docs/deployment.md"]
HEADING = re.compile(r"^#+ ", re.MULTILINE)
FOR_ITS_AUTHORS = {"docs/page.md": 1}
"""Headings that the Chinese guide leaves to the English one."""


def texts(guide):
    english = ROOT / guide
    return english.read_text("utf-8"), english.with_suffix(".zh-CN.md").read_text("utf-8")


def commands(text):
    """The lines of the code blocks, without what only explains: comments, and words of either language."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("你的仓库地址", "YOUR_REPOSITORY").splitlines()
    lines = [line.partition(" #")[0].split("    ")[0].strip() for line in lines]
    return [line for line in lines if re.match(r"(make|dvc|pindet|curl|docker|scripts|git|kubectl|source) ?", line)]


@pytest.mark.parametrize("guide", GUIDES)
def test_both_have_the_same_commands(guide):
    english, chinese = (commands(text) for text in texts(guide))
    assert english == chinese
    assert guide == "docs/page.md" or len(english) > 10


@pytest.mark.parametrize("guide", GUIDES)
def test_both_have_the_same_parts(guide):
    english, chinese = texts(guide)
    assert len(HEADING.findall(english)) - FOR_ITS_AUTHORS.get(guide, 0) == len(HEADING.findall(chinese)) > 4
    rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in (english, chinese)]
    assert rows[0] == rows[1] > 5


@pytest.mark.parametrize("path", [*GUIDES, *(f"{guide.removesuffix('.md')}.zh-CN.md" for guide in GUIDES)])
def test_links_lead_somewhere(path):
    page = ROOT / path
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert links
    for link in links:
        assert link.startswith("http") or (page.parent / link).exists(), link
