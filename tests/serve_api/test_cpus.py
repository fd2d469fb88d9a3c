"""A container's share of the processors counts, not how many its host has."""

import os

import pytest
from pindet_serve.serving.cpus import usable_cpus

pytestmark = pytest.mark.usefixtures("eight_cores")


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8),
        ("nonsense", 8), ("100000 0", 8), ("", 8),
    ],
)  # fmt: skip
def test_of_control_groups_version_2(tmp_path, limit, expected):
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert usable_cpus(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("300000", 3)])
def test_of_control_groups_version_1(tmp_path, quota, expected):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(tmp_path) == expected


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path):
    assert usable_cpus(tmp_path / "none") == 8
