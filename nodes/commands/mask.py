"""Save a picture of a stream with its masks drawn in, to see where they lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import cv2
import typer

from nodes.mask_picture import drawn, picture_of, read_picture
from nodes.runner import node_clock
from pipeline.config import load_deployment
from pipeline.core.errors import RecordingError
from pipeline.sources.masks import Masks, Pixels


def register(app: typer.Typer) -> None:
    """Add ``mask`` to the command line."""
    app.command(name="mask")(command)


def command(
    config: Annotated[Path, typer.Argument(help="Deployment file.", metavar="CONFIG")],
    stream: Annotated[str, typer.Argument(help="Stream of pictures.", metavar="STREAM")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Picture to make.")] = Path(
        "mask.png"
    ),
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="A picture of the camera, instead of asking its source."),
    ] = None,
    burnt: Annotated[
        bool, typer.Option("--burnt", help="As it leaves the capture node: zones black.")
    ] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Longest wait, seconds.")] = 15.0,
) -> None:
    """Save a picture of a stream with its masks drawn in, to see where they lie.

    Without --burnt the picture shows what is masked: delete it when you are done.
    """
    deployment = load_deployment(config)
    zones = deployment.stream(stream).mask
    if picture is not None:
        shown = read_picture(picture)
    else:
        shown = picture_of(deployment, stream, node_clock(), timeout_s)
    made = Masks(zones).apply(shown) if burnt else drawn(shown, zones)
    if not _written(output, made):
        raise RecordingError(
            "cannot write the picture",
            where=str(output),
            fix="end it in .png, in a folder that is there",
        )
    share = (Masks(zones).covered(*shown.shape[:2]) > 0).mean()
    typer.echo(f"{output}: {shown.shape[1]} x {shown.shape[0]}, {share:.0%} masked")
    if not zones:
        typer.echo(f"no masks yet; write streams.{stream}.mask: {{name: [[x, y], ...]}}")


def _written(output: Path, picture: Pixels) -> bool:
    """Whether it could be written; for its owner's eyes only."""
    try:
        made, data = cv2.imencode(output.suffix, picture)
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data.tobytes())
    except (cv2.error, OSError):
        return False
    return made
