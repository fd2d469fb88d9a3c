"""The command ``pindet-serve``: serve one model until told to stop."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

import cv2
import uvicorn

from pindet_serve.api import logs
from pindet_serve.api.app import create_app
from pindet_serve.api.sockets import WatchedWebSocket, allow_many_sockets
from pindet_serve.manifest import BundleError
from pindet_serve.serving.memory import collect_rarely, keep_freed_images
from pindet_serve.settings import read_settings


def main() -> None:
    """Read the settings, load the model, serve; exits with 2 for a wrong setting, 3 when nothing can be served."""
    try:
        settings = read_settings(os.environ, sys.argv[1:])
        logs.configure(settings.log_level)
        _check_port(settings.host, settings.port)
        app = create_app(settings)
    except ValueError as error:
        _give_up(error, 2)
    try:
        # Before the server is: what can not be served is one line to whoever started it, not a failed application.
        app.state.service.start()
    except BundleError as error:
        _give_up(error, 3)
    except ValueError as error:
        _give_up(error, 2)
    allow_many_sockets()
    keep_freed_images()
    collect_rarely()
    # What is wrong with an image is said to its sender.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws=WatchedWebSocket,
        ws_max_size=settings.max_body_bytes + 1024,
        ws_per_message_deflate=False,  # a compressor for each of thousands of clients costs more than it saves
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        lifespan="on",
    )


def _check_port(host: str, port: int) -> None:
    """Raise ValueError where nobody could listen: better known before a model is loaded than after."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise ValueError(
            f"port {port} of {host} can not be listened on: {error.strerror or error}; end what uses it, or choose "
            "another with --port"
        ) from error


def _give_up(error: ValueError, status: int) -> NoReturn:
    sys.stderr.write(f"pindet-serve: {error}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
