"""Progress, on a terminal and in a log."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from pindet.data import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress.shown(iter("abc"), "letters", 3)) == ["a", "b", "c"]
    assert "letters" in sys.stderr.getvalue()
    assert "3/3" in sys.stderr.getvalue()


def test_a_bar_that_counts_some_is_full_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress.shown(iter("aBc"), "letters", 9, counts=str.islower)) == ["a", "B", "c"]
    assert "2/2" in sys.stderr.getvalue()


def test_lines_count_some_in_a_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        assert list(progress.shown(iter("aBc"), "letters", 2, counts=str.islower)) == ["a", "B", "c"]
    said = [r.message for r in caplog.records]
    assert said == ["letters: 1 of 2", "letters: 1 of 2", "letters: 2 of 2", "letters: 2, done"]


def test_lines_in_a_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    with caplog.at_level(logging.INFO):
        assert list(progress.shown(iter("ab"), "letters", 2)) == ["a", "b"]
    assert [r.message for r in caplog.records] == ["letters: 1 of 2", "letters: 2 of 2", "letters: 2, done"]
