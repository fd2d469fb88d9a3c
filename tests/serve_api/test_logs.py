"""Logs are one JSON object a line, whatever is logged and however long it is."""

import json
import logging
import os
import subprocess
import sys
import uuid

import httpx
import pytest
from pindet_serve.api.logs import JsonFormatter, LineHandler

AWKWARD = ["\x85", "\u2028", "\u2029", "\ud800", "\x00\x1b\r\n\x0b\x0c\x1c", "零件", "\U0001f529", "\x01" * 50_000]


@pytest.mark.parametrize("text", AWKWARD, ids=range(len(AWKWARD)))
def test_any_text_is_one_line_and_comes_back(tmp_path, text):
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno())
        handler.setFormatter(JsonFormatter())
        handler.handle(logging.makeLogRecord({"msg": "%s", "args": (text,), "fields": {"path": text}}))
    written = (tmp_path / "log").read_bytes()
    (line,) = written.decode("utf-8").splitlines()
    assert json.loads(line)["message"] == json.loads(line)["path"] == text


def test_a_line_larger_than_any_buffer_is_written_in_one_piece(tmp_path, monkeypatch):
    sizes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: sizes.append(len(data)) or write(fd, data))
    with (tmp_path / "log").open("wb") as file:
        handler = LineHandler(file.fileno())
        handler.setFormatter(JsonFormatter())
        handler.handle(logging.makeLogRecord({"msg": "x" * 300_000}))
    assert sizes == [(tmp_path / "log").stat().st_size] and sizes[0] > 300_000


def test_a_record_that_can_not_be_written_raises_nothing():
    handler = LineHandler(1_000_000)
    handler.handle(logging.makeLogRecord({"msg": "nowhere to go"}))


@pytest.mark.parametrize("path", ["%C2%85%E2%80%A8%00", "%00" * 20_000, "%ff%ed%a0%80", "\\u00"])
def test_the_server_logs_any_path_as_one_line(server, path):
    mark = uuid.uuid4().hex
    httpx.get(f"{server.url}/{path}", headers={"X-Request-ID": mark})
    assert server.line_of(mark)["status"] == 404
    (line,) = [line for line in server.log.read_bytes().split(b"\n") if mark.encode() in line]
    assert len(line) < 2000 and len(line.decode("utf-8").splitlines()) == 1


def test_warnings_and_threads_that_end_are_logged_as_json():
    program = (
        "import threading, warnings\n"
        "from pindet_serve.api import logs\n"
        "logs.configure('info')\n"
        "warnings.warn('odd')\n"
        "thread = threading.Thread(target=lambda: 1 / 0, name='worker')\n"
        "thread.start(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=240)
    warned, ended = [json.loads(line) for line in done.stderr.splitlines()]
    assert "odd" in warned["message"] and warned["level"] == "warning"
    assert ended["message"] == "thread worker ended" and "ZeroDivisionError" in ended["exception"]
