"""What one would write in ten lines: the comparison of ``serving.py``. Arguments: bundle, port, threads, batch, engine.

With the engine ``session`` the model runs in a session of ONNX Runtime as that comes, with ``streams`` in the engine of
this package.
"""

import sys
from pathlib import Path
from typing import Any

import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from pindet_serve.detector import MODEL, Detector
from pindet_serve.images import decode_image
from pindet_serve.manifest import Manifest
from pindet_serve.onnx_engine import OUTPUTS


class Session:
    """A session with the options that it has by itself."""

    name, device, half, streams = "session", "cpu", False, 1

    def __init__(self, bundle: Path, _: Manifest) -> None:
        self._session = onnxruntime.InferenceSession(bundle / MODEL, providers=["CPUExecutionProvider"])

    def infer(self, images: Any, *, alone: bool = True) -> Any:  # noqa: ARG002 - it is an engine's
        """Run the model."""
        return self._session.run(OUTPUTS, {"images": images})


app = FastAPI()
detector = Detector(Path(sys.argv[1]), threads=int(sys.argv[3]), engine=Session if sys.argv[5] == "session" else None)


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
