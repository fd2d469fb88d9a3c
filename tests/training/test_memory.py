"""Freed memory is used again without asking the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy
from pindet.training.memory import keep_freed_memory
if sys.argv[2] == "keep":
    keep_freed_memory()
def faults():
    numpy.ones(2**25)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = faults()
print(faults() - first)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these options")
def test_a_second_large_array_needs_no_new_pages() -> None:
    source = str(Path(__file__).parents[2] / "src")

    def faults(mode: str) -> int:
        command = [sys.executable, "-c", SCRIPT, source, mode]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") < faults("leave") / 5
