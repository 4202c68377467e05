"""Evaluate Video: scores of edited videos."""

from __future__ import annotations

from comfy_api.latest import io

from .. import tav_core
from . import host
from .result_inputs import RESULTS, connected, result_inputs
from .schema_compat import advanced, search_aliases


class EvaluateVideo(io.ComfyNode):
    """Score up to eight videos in a table."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        models = host.clip_models()
        return io.Schema(
            node_id="TAVEvaluateVideo",
            display_name="Evaluate Video",
            category="Tune-A-Video",
            **search_aliases("score", "metrics", "clip score", "pickscore", "psnr"),
            description="Scores videos as the paper does: how alike their frames are, how well they fit the prompt, "
            "and how well they keep the motion of the source. More is better; the best of each column is marked.",
            inputs=[
                io.Image.Input("source", tooltip="The clip that the results were made from, frame by frame."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    default="",
                    tooltip="What the results are to show. Empty: no textual alignment and no PickScore. The videos of "
                    "several prompts in Sample Video are scored with their own.",
                ),
                io.String.Input(
                    "labels",
                    multiline=True,
                    default="",
                    tooltip="Names of the rows, a line for each result input. Without a line, a result is named after "
                    "its prompt, or result 1, result 2, ...",
                ),
                io.Combo.Input(
                    "clip",
                    options=models,
                    default="auto",
                    **advanced(),
                    tooltip="CLIP model with images and text: a folder in models/clip_vision. auto: the folder "
                    "clip-vit-large-patch14 there, or the one in the Hugging Face cache. Nothing is downloaded.",
                ),
                io.Combo.Input(
                    "pickscore",
                    options=models,
                    default="auto",
                    **advanced(),
                    tooltip="PickScore model: a folder in models/clip_vision. auto: the folder PickScore_v1 there, or "
                    "the one in the Hugging Face cache. Nothing is downloaded.",
                ),
                io.Boolean.Input(
                    "reconstruction",
                    default=False,
                    tooltip="The results are the source itself, rebuilt with its own prompt: PSNR and SSIM are "
                    "measured, and nothing else.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="ComfyUI's own CLIP Vision (ViT-L for comparable figures) for the consistency of frames, "
                    "which needs no other model then.",
                ),
                *result_inputs("A video to score."),
            ],
            outputs=[
                io.Image.Output(display_name="table", tooltip="The scores as a picture."),
                io.String.Output(display_name="scores", tooltip="The scores as JSON."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
            is_input_list=True,  # an input may carry several videos, of several prompts
        )

    @classmethod
    def execute(
        cls,
        source: list[io.Image.Type],
        prompt: list[str],
        labels: list[str],
        clip: list[str],
        pickscore: list[str],
        reconstruction: list[bool],
        clip_vision: list[io.ClipVision.Type] | None = None,
        **results: list[io.Image.Type],
    ) -> io.NodeOutput:
        names = [line.strip() for line in (labels[0] + "\n" * RESULTS).split("\n")]
        videos = connected(results, names, cls.hidden.prompt, cls.hidden.unique_id)
        if not videos:
            raise ValueError("There is nothing to score: connect a video to result_1.")
        several = any(len(at_input) > 1 for at_input in results.values())  # each has a prompt of its own
        table = host.score_results(
            [
                tav_core.VideoResult(
                    video.name,
                    video.frames[..., :3],
                    (several and video.prompt) or prompt[0].strip(),
                    source[0][..., :3],
                    reconstruction[0],
                )
                for video in videos
            ],
            clip[0],
            pickscore[0],
            clip_vision[0] if clip_vision else None,
        )
        shown = {"tav_scores": [host.shown_table(table)], "text": [table.text()]}
        return io.NodeOutput(table.image()[None], table.json(), ui=shown)
