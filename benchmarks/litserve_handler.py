"""The same detector behind LitServe: the comparison of ``serving.py``. Arguments: bundle, port, threads, batch."""

import sys
from pathlib import Path
from typing import Annotated

import litserve
from fastapi import Depends, Request
from pindet_serve.detections import Detections
from pindet_serve.detector import Detector
from pindet_serve.images import Image, decode_image


async def body(request: Request) -> bytes:
    """The bytes of the request, as the other two get them."""
    return await request.body()


class DetectApi(litserve.LitAPI):
    """Finds the objects in one image, batched with others."""

    def setup(self, _: str) -> None:
        """Load the bundle, in the worker."""
        self.detector = Detector(Path(sys.argv[1]), threads=int(sys.argv[3]))

    def decode_request(self, request: Annotated[bytes, Depends(body)]) -> Image:
        """Decode one image."""
        return decode_image(request)

    def batch(self, inputs: list[Image]) -> list[Image]:
        """Images of a batch; they have sizes of their own."""
        return inputs

    def predict(self, inputs: list[Image]) -> list[Detections]:
        """Infer a batch."""
        return self.detector.detect(inputs)

    def unbatch(self, output: list[Detections]) -> list[Detections]:
        """Answers of a batch."""
        return output

    def encode_response(self, output: Detections) -> dict[str, object]:
        """The answer to one request."""
        return {name: getattr(output, name).tolist() for name in ("boxes", "scores", "labels")}


if __name__ == "__main__":
    api = DetectApi(max_batch_size=int(sys.argv[4]), batch_timeout=0.001, api_path="/v1/detect")
    server = litserve.LitServer(api, accelerator="cpu", timeout=60, healthcheck_path="/health/ready")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
