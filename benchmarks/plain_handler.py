"""What one would write in ten lines: the comparison of ``serving.py``. Arguments: bundle, port, threads."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pindet_serve.detector import Detector
from pindet_serve.images import decode_image

app = FastAPI()
detector = Detector(Path(sys.argv[1]), threads=int(sys.argv[3]))


@app.get("/health/ready")
async def ready() -> dict[str, bool]:
    """Whether it runs."""
    return {"ready": True}


@app.post("/v1/detect")
async def detect(request: Request) -> dict[str, list[object]]:
    """Find the objects in one image."""
    data = await request.body()
    (found,) = await run_in_threadpool(lambda: detector.detect([decode_image(data)]))
    return {name: getattr(found, name).tolist() for name in ("boxes", "scores", "labels")}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
