"""The route of the status feed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import WebSocketRoute

from pindet_serve.status.feed import StatusFeed

router = APIRouter()
router.routes.append(WebSocketRoute("/ws/status", StatusFeed(), name="status"))
