"""What can be told to a camera of this machine; see `pipeline.sources.camera`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.sources.base import SourceSettings


class CameraOptions(SourceSettings):
    """A camera attached to this machine."""

    type: Literal["camera"] = "camera"
    """Kind of source."""

    stream: str
    """Name of the stream."""

    device: int | str = 0
    """Number of the device, or its path such as ``/dev/video0`` or ``/dev/v4l/by-id/...``."""

    width: int | None = Field(default=None, ge=16)
    """Width to ask the camera for, pixels; it may choose the nearest it has."""

    height: int | None = Field(default=None, ge=16)
    """Height to ask the camera for, pixels."""

    fps: float | None = Field(default=None, gt=0)
    """Rate to ask the camera for, frames a second."""

    fourcc: str | None = Field(default="MJPG", min_length=4, max_length=4)
    """Pixel format to ask the camera for; null: the driver's own choice."""

    pass_jpeg: bool = True
    """Give Motion JPEG as the camera made it; false: decode it to raw BGR."""

    isolated: ClassVar[bool] = True
    default_stall_s: ClassVar[float | None] = 5.0

    @field_validator("device")
    @classmethod
    def _device(cls, value: int | str) -> int | str:
        if isinstance(value, str) and value.isdigit():
            return int(value)
        if isinstance(value, str) and not value.startswith("/dev/"):
            raise ValueError("a camera is a number or a path under /dev; a file or URL is 'media'")
        return value

    @property
    def path(self) -> str:
        """Path of the device node."""
        return f"/dev/video{self.device}" if isinstance(self.device, int) else self.device

    def stream_names(self) -> tuple[str, ...]:
        """The one stream."""
        return (self.stream,)
