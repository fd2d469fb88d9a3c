"""What is being served: loading, swapping and rolling back releases without dropping a request."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pindet_serve.engine import DeviceMissingError
from pindet_serve.manifest import BundleError
from pindet_serve.serving.batcher import Batcher
from pindet_serve.serving.engines import require_engine
from pindet_serve.serving.memory import return_freed
from pindet_serve.serving.model import Model, load_model
from pindet_serve.serving.record import Record, read_record, write_record
from pindet_serve.serving.release import Release, ReleasedFile, ReleaseError
from pindet_serve.serving.sources import Source, open_source
from pindet_serve.serving.store import Fetch, Store
from pindet_serve.settings import Settings

TRY_AGAIN_SECONDS = 60.0
"""From the refusal of a release that is followed to the next try."""
PATIENCE_SECONDS = 5.0
"""How long a load by hand waits for one that is going on: longer than most loads, and most looks at a release file."""
_log = logging.getLogger(__name__)
Publish = Callable[[str, dict[str, Any]], None]
"""Says on the status bus what happened: an event's type and data. Never blocks, never raises."""


def _unheard(*_: object) -> None:
    pass


class Busy(Exception):  # noqa: N818 - a state of the server, no error
    """Another load is going on."""


class Service:
    """Holds the model that answers; a load that fails leaves it as it is and says so.

    Args:
        settings: where releases come from and how they run.
        publish: told of ``model.loading``, ``model.loaded``, ``model.refused`` and ``model.rolled_back``.
        observe: told of each inference: images and seconds.

    Raises:
        BundleError: the source's address is none.
        DeviceMissingError: an engine or a device that is asked for is not there.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        publish: Publish = _unheard,
        observe: Callable[[int, float], None] = _unheard,
    ) -> None:
        require_engine(settings)
        self._settings = settings
        self._source: Source = open_source(settings.source)
        self._store = Store(settings.state / "store")
        self._path = settings.state / "served.json"
        self._record = Record()
        self._model: Model | None = None
        self._loading = threading.Lock()
        self._seen: Release | None = None
        self._try_again_at = 0.0
        self.publish = publish
        self.refused = ""
        self.batcher = Batcher(
            streams=settings.cores,
            max_batch=settings.max_batch,
            max_wait_s=settings.max_wait_ms / 1000,
            capacity=settings.queue_size,
            observe=observe,
            patience_s=settings.deadline_s,
        )

    @property
    def model(self) -> Model:
        """The model that answers now."""
        if self._model is None:
            raise RuntimeError("the service is not started")
        return self._model

    @property
    def started(self) -> bool:
        """Whether there is a model that answers."""
        return self._model is not None

    @property
    def previous(self) -> Release | None:
        """The release before this one, which a rollback serves."""
        return self._record.previous

    @property
    def declined(self) -> Release | None:
        """The release that was rolled back here, until the source pins another or someone reloads."""
        return self._record.declined

    def start(self) -> None:
        """Load what the source pins, else what was served last, and begin to infer.

        A release that was rolled back is not loaded again until the source pins another, or someone reloads.

        Raises:
            BundleError: neither can be served.
        """
        self._record = read_record(self._path)
        last = self._record.current
        try:
            release = self._seen = self._pinned()
            if last is not None and self._is_declined(release):
                self._swap(self._from_store(last), self._record)
            else:
                self._advance(self._load(release, self._source.fetch), self._settings.accept_classes)
        except BundleError as error:
            if last is None:
                raise
            self._refuse(error)
            self._swap(self._from_store(last), self._record)
        self.batcher.start()

    def stop(self) -> None:
        """Answer what waits, then stop inferring."""
        self.batcher.stop()

    def reload(self, *, accept_classes: bool = False) -> bool:
        """Serve what the source pins now.

        Args:
            accept_classes: serve it even if its class names differ from the present ones.

        Returns:
            whether the model changed.

        Raises:
            BundleError: it was refused; the present model serves on.
            Busy: another load has not ended within ``PATIENCE_SECONDS``.
        """
        with self._one_at_a_time(PATIENCE_SECONDS):
            try:
                release = self._pinned()
            except BundleError as error:
                self._refuse(error)
                raise
            return self._take(release, accept_classes)

    def follow(self) -> bool:
        """Serve what the source pins now, if it is another release than when it was last looked at.

        A source that can not be reached is no refusal: what is served goes on being right. One that says what can be no
        release is. A release that was refused is tried again from time to time, because a file may have been out of
        reach.

        Returns:
            whether the model changed.

        Raises:
            BundleError: the source can not be read, or its release was refused; the present model serves on.
            Busy: another load is going on.
        """
        with self._one_at_a_time():
            try:
                release = self._pinned()
            except ReleaseError as error:
                self._refuse(error)
                raise
            is_due = bool(self.refused) and time.monotonic() >= self._try_again_at
            if (release == self._seen and not is_due) or self._is_declined(release):
                return False
            return self._take(release, self._settings.accept_classes)

    def _take(self, release: Release, accept_classes: bool) -> bool:
        self._seen, self._try_again_at = release, time.monotonic() + TRY_AGAIN_SECONDS
        if release == self.model.release:
            self.refused = ""
            self._keep(replace(self._record, went_back=False))
            return False
        try:
            self._advance(self._load(release, self._source.fetch), accept_classes)
        except BundleError as error:
            self._refuse(error)
            raise
        return True

    def rollback(self) -> None:
        """Serve the release before this one, from the local store; a second rollback comes back.

        Raises:
            BundleError: there is none, or it is damaged; the present model serves on.
            Busy: another load has not ended within ``PATIENCE_SECONDS``, or has taken the place of what was to be left.
        """
        meant = self._record.current
        with self._one_at_a_time(PATIENCE_SECONDS):
            present, previous = self._record.current, self._record.previous
            if present != meant:
                raise Busy("another release was loaded meanwhile; look at what is served now, and ask again if need be")
            if present is None or previous is None:
                raise BundleError("there is no release before this one to roll back to")
            model = self._from_store(previous)
            record = Record(previous, present, True, tuple(model.manifest.classes))
            self._swap(model, record)
            self.refused = ""
            self.publish("model.rolled_back", {"from": present.named, "to": previous.named})

    def _is_declined(self, release: Release) -> bool:
        return self.declined is not None and release.identity == self.declined.identity

    def _pinned(self) -> Release:
        with self._refusing():
            return self._source.pinned()

    def _load(self, release: Release, fetch: Fetch) -> Model:
        self.publish("model.loading", release.named)
        with self._refusing():
            return load_model(release, self._store.bundle(release, fetch), self._settings)

    def _from_store(self, release: Release) -> Model:
        return self._load(release, _not_stored)

    def _advance(self, model: Model, accept_classes: bool) -> None:
        classes = tuple(model.manifest.classes)
        if self._record.classes and classes != self._record.classes and not accept_classes:
            raise BundleError(
                f"its classes are {list(classes)}, the last release's are {list(self._record.classes)}; "
                "reload with accept_classes=true if that is meant"
            )
        current = self._record.current
        changed = current is not None and current.bundle_md5 != model.release.bundle_md5
        previous = current if changed else self._record.previous
        self._swap(model, Record(model.release, previous, False, classes))
        self.refused = ""
        self.publish("model.loaded", model.release.named)

    def _swap(self, model: Model, record: Record) -> None:
        self._model = model
        self._keep(record)
        kept = [release.bundle_md5 for release in (record.current, record.previous) if release is not None]
        self._store.keep_only(kept)
        return_freed()
        _log.info("serving %s %s, bundle %s", model.release.name, model.release.version, model.release.bundle_md5)

    def _keep(self, record: Record) -> None:
        self._record = record
        write_record(self._path, record)

    def _refuse(self, error: BundleError) -> None:
        if self.refused == str(error):
            return
        self.refused = str(error)
        _log.error("release refused, the last one serves on: %s", error)
        serving = None if self._model is None else self._model.release.named
        self.publish("model.refused", {"reason": self.refused, "serving": serving})

    @contextlib.contextmanager
    def _one_at_a_time(self, patience_s: float = 0.0) -> Iterator[None]:
        if not self._loading.acquire(timeout=patience_s):
            raise Busy("another load is going on; try again when it is done")
        try:
            yield
        finally:
            self._loading.release()

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """Make whatever a release sets off a reason to refuse it: a bad model must not take a good one down.

        A device that is missing stops the start; afterwards it is a reason as any other.
        """
        try:
            yield
        except BundleError:
            raise
        except DeviceMissingError as error:
            if not self.started:
                raise
            raise BundleError(str(error)) from error
        except Exception as error:
            raise BundleError(f"it can not be loaded: {error!r}") from error


def _not_stored(file: ReleasedFile, _: Path) -> None:
    raise BundleError(f"{file.path} of the last release is not in the local store any more")
