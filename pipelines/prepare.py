"""Raw data → ``data/prepared/`` and ``reports/prepare/``."""

from pathlib import Path

from pindet.data.prepare import prepare
from pindet.data.report import write_report
from pindet.params import Params
from pindet.stage import check_later_stages, run_stage

PREPARED = Path("data/prepared")
REPORT = Path("reports/prepare")


def main(params: Params) -> None:
    check_later_stages()
    seed = params.build("seed")
    data = params.build("data")
    report = prepare(
        data.source(seed),
        PREPARED,
        seed=seed,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        shard_count=data.shard_count,
        max_rejected=data.max_rejected,
    )
    write_report(report, PREPARED, REPORT)


if __name__ == "__main__":
    run_stage("prepare", main)
