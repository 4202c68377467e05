"""Compare Videos: the source and its edits, played in step."""

from __future__ import annotations

import json

from comfy_api.latest import io

from .. import tav_core
from . import host
from .result_inputs import RESULTS, connected, result_inputs
from .schema_compat import search_aliases


class CompareVideos(io.ComfyNode):
    """Videos side by side on the node, and as one IMAGE batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVCompareVideos",
            display_name="Compare Videos",
            category="Tune-A-Video",
            **search_aliases("side by side", "before and after", "wipe", "video grid"),
            description="Plays videos in step: side by side, or one over the other with a slider. "
            "The arrow keys go frame by frame.",
            inputs=[
                io.Image.Input("source", tooltip="The video to compare with, usually from Load Video."),
                io.String.Input(
                    "labels",
                    multiline=True,
                    default="",
                    tooltip="Names of the videos, a line for each input: the source's first, then "
                    "result_1's, and so on. A missing or empty line becomes source, result 1, result 2, ...",
                ),
                io.Float.Input(
                    "fps",
                    default=8.0,
                    min=0.1,
                    max=120.0,
                    step=0.1,
                    tooltip="Frames per second at which the node plays. Connect Load Video's fps for the true speed.",
                ),
                *result_inputs("A video to compare with the source."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="comparison",
                    tooltip="The videos side by side under their labels, at the height of the highest; "
                    "shorter ones hold their last frame.",
                )
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, source: io.Image.Type, labels: str, fps: float, **results: io.Image.Type) -> io.NodeOutput:
        clips = {0: source} | connected(results)
        lines = tav_core.comparison_labels(labels, RESULTS + 1)
        names = [lines[number] for number in clips]
        shown = [host.shown_video(clip, fps, name) for clip, name in zip(clips.values(), names)]
        # as text: ComfyUI lists dictionaries in ui as output files of the run
        ui = {"tav_comparison": [json.dumps(video) for video in shown]}
        return io.NodeOutput(tav_core.side_by_side(list(clips.values()), names), ui=ui)
