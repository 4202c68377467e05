"""Load Video: the frames of the clip to edit."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.diffusion.settings import CLIP
from . import host
from .schema_compat import search_aliases
from .setting_inputs import setting_input


class LoadVideo(io.ComfyNode):
    """Read a clip from the input folder as an IMAGE batch, picked by start, stride and count."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVLoadVideo",
            display_name="Load Video (Tune-A-Video)",
            category="Tune-A-Video",
            **search_aliases("upload video", "upload clip", "video frames", "import video", "tune a video"),
            description="Reads the frames to learn the motion from. 8 to 24 frames of one clear movement work best.",
            inputs=[
                io.Combo.Input(
                    "video",
                    options=host.input_videos(),
                    upload=io.UploadType.video,
                    tooltip="The clip: a video, an animated WebP or a folder of pictures in ComfyUI's input folder.",
                ),
                *(setting_input(CLIP[name]) for name in ("start", "stride", "frames", "width", "height")),
                setting_input(CLIP["resize"], default="crop"),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames, in order."),
                io.Float.Output(display_name="fps", tooltip="Frames per second of the taken frames (source / stride)."),
                io.Int.Output(display_name="frames", tooltip="How many frames there are."),
            ],
        )

    @classmethod
    def execute(
        cls, video: str, start: int, stride: int, frames: int, width: int, height: int, resize: str
    ) -> io.NodeOutput:
        clip = host.load_clip(
            video, frames=frames, start=start, stride=stride, width=width, height=height, resize=resize
        )
        missing = f"{video} breaks off: {len(clip.frames)} of {frames} frames could be read."
        host.advise(missing if len(clip.frames) < frames else "")
        return io.NodeOutput(clip.frames, clip.fps, len(clip.frames))

    @classmethod
    def fingerprint_inputs(cls, video: str | None, **_: object) -> float | None:
        """Return when the file was changed; a name from another node is not known yet, and ComfyUI checks that node."""
        return None if video is None else host.time_changed(video)

    @classmethod
    def validate_inputs(cls, video: str | None) -> bool | str:
        try:
            if video is not None:
                host.input_path(video)
        except FileNotFoundError as error:
            return str(error)
        return True
