"""Around every request that is traced: its span."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pindet_serve.api.tracing import Tracing
from pindet_serve.serving.service import Service

UNTRACED = ("/health", "/metrics")
"""Asked for every few seconds by what watches; their spans would hide the others."""


class TracingMiddleware:
    """Gives each HTTP request a span, but for those that only watch; ``state.traceparent`` is then the span's own."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing, service: Service) -> None:
        self._app, self._tracing, self._service = app, tracing, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        span = self._tracing.begin(scope["method"], sent.decode("latin-1"))
        scope.setdefault("state", {})["traceparent"] = self._tracing.parent(span)
        status = 0

        async def send_seen(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            with self._tracing.within(span):
                await self._app(scope, receive, send_seen)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            model = scope["state"].get("model") or self._service.model
            self._tracing.end(span, route, status, model.release.bundle_md5)
