"""Files that are whole or not there."""

import os
from pathlib import Path

import pytest

from pindet.files import write_json, write_text


def test_a_file_that_could_not_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "text"
    write_text(path, "earlier\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "later\n")
    assert [each.name for each in path.parent.iterdir()] == ["text"]
    assert path.read_text("utf-8") == "earlier\n"


def test_a_folder_that_can_not_be_synchronised_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def of_files_only(path: str, flags: int, *more: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", of_files_only)
    write_json(tmp_path / "value.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "value.json").read_bytes() == '{\n "a": "ü",\n "b": 1\n}\n'.encode()
