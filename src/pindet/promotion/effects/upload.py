"""Objects in the DVC remote."""

from __future__ import annotations

from collections.abc import Sequence

from pindet.promotion.bench import Bench


class UploadObjects:
    """Brings objects to the DVC remote."""

    def __init__(self, bench: Bench, md5s: Sequence[str]) -> None:
        self._bench, self._md5s = bench, md5s
        self.name = f"{len(md5s)} objects in the DVC remote"

    def done(self) -> bool:
        """Whether there was none to bring."""
        return not self._md5s

    def do(self) -> None:
        """Upload them, listings last."""
        self._bench.objects.upload(self._md5s)
