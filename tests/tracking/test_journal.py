"""Nothing told is lost, whoever is killed."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from pindet.tracking.journal import Entry, Journal, Sender


def kinds(journal: Journal) -> list[str]:
    return [entry["kind"] for entry, _ in journal.entries()]


def test_a_journal_is_continued_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, {"run_id": "1"})
    journal.append("a", value="ä")
    with path.open("a") as file:
        file.write('{"kind": "b", "val')
    assert kinds(journal) == ["a"]
    again = Journal(path, {"run_id": "2"})
    again.append("c")
    assert kinds(again) == ["a", "c"]
    assert again.header == {"run_id": "1"}


def test_files_are_kept_until_they_are_sent(tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "x.html").write_text("x")
    journal = Journal(tmp_path / "t" / "j.jsonl", {})
    journal.append_files(report, "evaluate")
    (report / "x.html").unlink()
    [(entry, _)] = journal.entries()
    assert (Path(entry["folder"]) / "x.html").read_text() == "x"
    journal.remove()
    assert list((tmp_path / "t").iterdir()) == []


def test_everything_arrives_in_order_once_the_store_is_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    away = True
    arrived: list[Entry] = []

    def send(entry: Entry) -> None:
        if away:
            raise OSError("away")
        arrived.append(entry)

    journal = Journal(tmp_path / "j.jsonl", {})
    sender = Sender(journal, send)
    for number in range(3):
        journal.append("params", number=number)
        sender.wake()
    until = time.monotonic() + 5
    while sender.last_error is None and time.monotonic() < until:
        time.sleep(0.01)
    assert str(sender.last_error) == "away"
    away = False
    begin = time.monotonic()
    assert sender.finish(5)
    assert time.monotonic() - begin < 0.9  # the end of a run does not wait for the next attempt
    assert [entry["number"] for entry in arrived] == [0, 1, 2]
    assert sender.last_error is None
    assert caplog.text.count("does not answer") == 1


def test_an_unfinished_journal_is_reported_as_such(tmp_path: Path) -> None:
    def send(entry: Entry) -> None:
        raise OSError(f"no {entry}")

    journal = Journal(tmp_path / "j.jsonl", {})
    journal.append("end")
    assert not Sender(journal, send).finish(5)
    assert kinds(journal) == ["end"]


def test_a_store_that_takes_its_time_gets_everything_in_few_requests(tmp_path: Path) -> None:
    requests: list[Entry] = []

    def send(entry: Entry) -> None:
        time.sleep(0.2)
        requests.append(entry)

    journal = Journal(tmp_path / "j.jsonl", {})
    journal.append("params")
    for step in range(120):
        journal.append("metrics", rows=[{"step": step}])
    journal.append("end")
    assert Sender(journal, send).finish(0.5)
    assert [len(entry.get("rows", [])) for entry in requests] == [0, 50, 50, 20, 0]
    assert [row["step"] for entry in requests for row in entry.get("rows", [])] == list(range(120))
