"""The application: its parts, wired."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from pindet_serve.api import detect, health, jobs, model, page, problems, releases, stage_changes, stream
from pindet_serve.api.activity import Activity
from pindet_serve.api.body_room import BodyRoom
from pindet_serve.api.by_url import ByUrl
from pindet_serve.api.detecting import Detecting
from pindet_serve.api.metrics import Metrics
from pindet_serve.api.middleware import RequestMiddleware
from pindet_serve.api.tracing import open_tracing
from pindet_serve.api.tracing_middleware import TracingMiddleware
from pindet_serve.auth import renewal
from pindet_serve.auth import routes as sign_in
from pindet_serve.auth.guard import Guard
from pindet_serve.auth.opening import open_guard
from pindet_serve.history import routes as records
from pindet_serve.history.history import History, open_history
from pindet_serve.history.recorder import Keeping
from pindet_serve.jobs.runner import JobRunner
from pindet_serve.serving.following import follow_forever
from pindet_serve.serving.service import Service
from pindet_serve.settings import Settings
from pindet_serve.status import routes as status
from pindet_serve.status.bus import Bus
from pindet_serve.status.heartbeat import beat_forever
from pindet_serve.status.opening import open_bus

_ROUTED = (
    detect, jobs, model, releases, stage_changes, health, stream, sign_in, renewal, records, status, page,
)  # fmt: skip
DESCRIPTION = "Finds objects in images with the model that DVC pinned. Every answer names that model."


def create_app(settings: Settings) -> FastAPI:
    """Make the application; its start loads the model.

    ``app.state`` holds ``settings``, ``metrics``, ``bus``, ``auth``, ``history``, ``service``, ``detecting``,
    ``by_url`` (``None`` while that is off), ``jobs``, ``activity``, ``room``
    and ``tracing`` (``None`` while that is off).

    Raises:
        ValueError: a setting that names something which is not there.
    """
    metrics, room = Metrics(), BodyRoom(settings.max_bodies_bytes)
    source = f"{socket.gethostname()}-{os.getpid()}"
    bus = open_bus(settings.redis_url or None, source, password=settings.redis_password or None)
    keeping = Keeping(detection_days=settings.detection_days, audit_days=settings.audit_days)
    history = open_history(settings.database_url or None, settings.state, source, keeping, bus.publish_soon)

    def observe(images: int, seconds: float) -> None:
        metrics.observe_batch(images, seconds)
        activity.inferred(images)

    service = Service(settings, publish=bus.publish_soon, observe=observe)
    activity = Activity(service, bus.publish_soon)
    # FastAPI's own pages of the API load scripts from elsewhere; /docs is the page's.
    app = FastAPI(
        title="pindet", version=_version(), description=DESCRIPTION, lifespan=_lifespan, docs_url=None, redoc_url=None
    )
    app.state.settings, app.state.metrics, app.state.bus, app.state.service = settings, metrics, bus, service
    app.state.history, app.state.room = history, room
    app.state.auth = _guard(settings, history, bus)
    app.state.tracing = open_tracing(os.environ)
    app.state.detecting = Detecting(service, settings, metrics, app.state.tracing)
    app.state.by_url = ByUrl(settings) if settings.url_hosts.strip() else None
    app.state.jobs = JobRunner(Path(settings.jobs) if settings.jobs else settings.state / "jobs", service, settings)
    app.state.activity = activity
    metrics.watch(service, bus.describe, history.describe)
    problems.install(app)
    for module in _ROUTED:
        app.include_router(module.router)
    _add_middleware(app)
    return app


def _add_middleware(app: FastAPI) -> None:
    state = app.state
    settings: Settings = state.settings
    if origins := settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID", "traceparent"],
            expose_headers=["X-Request-ID", "X-Model-Version", "X-Model-MD5", "Retry-After"],
        )
    app.add_middleware(
        RequestMiddleware, settings=settings, service=state.service, metrics=state.metrics, room=state.room
    )
    if state.tracing is not None:
        app.add_middleware(TracingMiddleware, tracing=state.tracing, service=state.service)


def _guard(settings: Settings, history: History, bus: Bus) -> Guard:
    return open_guard(
        [settings.jwt_secret, settings.jwt_secret_previous] if settings.jwt_secret else [],
        history.database,
        bus.claim,
        history.audit,
        token_seconds=60 * settings.token_minutes,
        allowed_origins=settings.origins,
        first_admin=(settings.admin_user, settings.admin_password) if settings.admin_user else None,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    service: Service = state.service
    await state.bus.start()
    await state.history.start()
    await state.auth.start()
    if not service.started:
        await asyncio.to_thread(service.start)
    await asyncio.to_thread(state.jobs.start)
    background = [asyncio.create_task(beat_forever(state.bus, state.activity.facts), name="heartbeat")]
    if state.settings.follows:
        followed = follow_forever(service, state.bus, state.settings.follow_s)
        background.append(asyncio.create_task(followed, name="following"))
    try:
        yield
    finally:
        for task in background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        state.detecting.close()
        if state.by_url is not None:
            state.by_url.close()
        await asyncio.to_thread(state.jobs.stop)
        await asyncio.to_thread(service.stop)
        await state.auth.stop()
        await state.history.stop()
        await state.bus.stop()
        if state.tracing is not None:
            await asyncio.to_thread(state.tracing.close)


def _version() -> str:
    try:
        return version("pindet-serve")
    except PackageNotFoundError:
        return "0"
