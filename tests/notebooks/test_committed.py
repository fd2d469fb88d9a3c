"""The notebooks as they are committed: code and words, nothing of the machine that they ran on."""

import getpass
import json
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_are_here():
    assert [path.stem for path in NOTEBOOKS] == ["01_data", "02_runs", "03_errors", "04_serve"]


def test_it_is_committed_without_outputs(notebook):
    assert code(notebook)
    assert not [cell for cell in code(notebook) if cell.outputs or cell.execution_count is not None]


def test_it_says_nothing_of_a_machine(path, notebook):
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert not [cell for cell in notebook.cells if cell.metadata]
    text = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search(r"(?<![\w.:/])(/(home|root|Users|tmp|mnt|work|var)/|[A-Z]:\\)", text)
    user = getpass.getuser()
    assert user == "root" or not re.search(rf"\b{re.escape(user)}\b", json.dumps(text))
    assert path.read_bytes().endswith(b"}\n")


def test_it_is_valid_and_short(notebook):
    nbformat.validate(notebook)
    assert 5 <= len(code(notebook)) <= 12
    assert max(len(cell.source.splitlines()) for cell in code(notebook)) <= 25


def test_each_cell_of_code_follows_a_sentence(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" and before.source.rstrip().endswith((".", "?"))
