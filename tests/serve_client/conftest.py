"""A server with real sign-in and a real feed; detection and jobs are played."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
import uvicorn
from fastapi import Depends, FastAPI, Query, Request, UploadFile
from fastapi.responses import Response
from pindet_serve.api import problems
from pindet_serve.auth import routes as auth_routes
from pindet_serve.auth.opening import open_guard
from pindet_serve.auth.passwords import Passwords
from pindet_serve.auth.require import require
from pindet_serve.auth.users import Users
from pindet_serve.history.database import Database
from pindet_serve.status import routes as status_routes
from pindet_serve.status.memory_bus import MemoryBus

PASSWORD = "long enough"


class PlayedServer:
    """Runs in a thread; can be stopped and started again on the same port, with the bus going on."""

    def __init__(self, folder, port):
        self.database = Database(f"sqlite:///{folder}/history.db")
        Users(self.database).create("anna", Passwords().hash(PASSWORD), "operator")
        self.bus = MemoryBus("replica-a")
        self.guard = open_guard(["0123456789abcdef" * 4], self.database, self.bus.claim, lambda _: None)
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.states = iter(["queued", "running", "finished"])
        self.sign_ins = 0

    def start(self):
        config = uvicorn.Config(
            self._app(), port=self.port, log_level="warning", timeout_graceful_shutdown=1, ws_per_message_deflate=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = True
        self.thread.join(10)

    def _app(self):
        @asynccontextmanager
        async def lifespan(_):
            await self.bus.start()
            yield
            await self.bus.stop()

        app = FastAPI(lifespan=lifespan)
        app.state.auth, app.state.bus = self.guard, self.bus
        problems.install(app)
        viewer = [Depends(require("viewer"))]

        @app.post("/v1/detect", dependencies=viewer)
        async def detect(images: list[UploadFile], classes: Annotated[list[str] | None, Query()] = None):
            return {"images": [[one.filename, len(await one.read())] for one in images], "classes": classes}

        @app.post("/v1/jobs", dependencies=viewer, status_code=202)
        async def submit(request: Request):
            return {"id": "7", "size": len(await request.body())}

        @app.get("/v1/jobs/{job_id}", dependencies=viewer)
        async def job(job_id: str):
            return {"id": job_id, "status": next(self.states)}

        @app.delete("/v1/jobs/{job_id}", dependencies=viewer, status_code=204)
        async def cancel():
            raise problems.Problem(503, "Overloaded", "busy", headers={"Retry-After": "7"})

        @app.get("/v1/jobs/{job_id}/result", dependencies=viewer)
        async def result():
            return Response("".join(json.dumps({"frame": number}) + "\n" for number in range(3)))

        @app.middleware("http")
        async def count(request: Request, following):
            self.sign_ins += request.url.path == "/v1/auth/token"
            return await following(request)

        app.include_router(auth_routes.router)
        app.include_router(status_routes.router)
        return app


@pytest.fixture
def server(tmp_path, free_ports):
    played = PlayedServer(tmp_path, *free_ports(1))
    played.start()
    yield played
    played.stop()
    played.database.close()
    asyncio.run(played.bus.stop())
