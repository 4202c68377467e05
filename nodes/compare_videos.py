"""Compare Videos: the source and its edits, played in step."""

from __future__ import annotations

import json

from comfy_api.latest import io

from .. import tav_core
from . import host
from .result_inputs import RESULTS, connected, result_inputs
from .schema_compat import search_aliases


class CompareVideos(io.ComfyNode):
    """Show videos side by side on the node, and as one IMAGE batch."""

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
                    "result_1's, and so on. Without a line, a result of Sample Video is named after its prompt.",
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
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
            is_input_list=True,  # an input may carry several videos, of several prompts
        )

    @classmethod
    def execute(
        cls, source: list[io.Image.Type], labels: list[str], fps: list[float], **results: list[io.Image.Type]
    ) -> io.NodeOutput:
        first, *others = (line.strip() for line in (labels[0] + "\n" * (RESULTS + 1)).split("\n"))
        videos = connected(results, others, cls.hidden.prompt, cls.hidden.unique_id)
        names, clips = [first or "source"], [source[0]]
        for result in videos:
            names.append(result.name)
            clips.append(result.frames)
        shown = [host.shown_video(clip, fps[0], name) for clip, name in zip(clips, names)]
        # as text: ComfyUI 0.33.0 lists dictionaries in ui as output files of the run
        ui = {"tav_comparison": [json.dumps(video) for video in shown]}
        return io.NodeOutput(tav_core.side_by_side(clips, names), ui=ui)
