"""The command line of ``pindet predict``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """What is written."""

    json = "json"
    coco = "coco"
    image = "image"


def predict_command(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, videos, folders, globs.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; without it, standard output.")] = None,
    format: Annotated[
        OutputFormat, typer.Option(help="JSON lines, one COCO file, or pictures with boxes.")
    ] = OutputFormat.json,
    bundle: Annotated[Path, typer.Option(help="The exported bundle.")] = Path("models/bundle"),
    score_threshold: Annotated[float | None, typer.Option(help="Least score; by default the bundle's.")] = None,
    max_detections: Annotated[int | None, typer.Option(help="Most objects of an image; default the bundle's.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images that are answered together.")] = 4,
    every: Annotated[int, typer.Option(help="Of a video, take each N-th frame.")] = 1,
) -> None:
    """Find the objects in images and videos with the exported bundle.

    What cannot be read is skipped, named and counted. The exit status is 0 when anything was read, 1 when nothing was,
    and 2 when an option or the bundle is not to be used.
    """
    from pindet.predict.predict import predict

    try:
        summary = predict(
            paths,
            bundle,
            out,
            format.value,
            score_threshold=score_threshold,
            max_detections=max_detections,
            batch_size=batch_size,
            every=every,
        )
    except ValueError as error:
        typer.echo(f"pindet predict: {error}", err=True)
        raise typer.Exit(2) from error
    if not summary.images:
        raise typer.Exit(1)
