"""Save and Load Tuned Video Model: a learned motion as a file to keep and share."""

from __future__ import annotations

from comfy_api.latest import io

from .. import tav_core
from ..tav_core.network.casting import PRECISIONS
from . import host
from .one_shot_tune import Tuned
from .schema_compat import newer, search_aliases


class SaveTuned(io.ComfyNode):
    """Write what One-Shot Tune learned into the model folder tune_a_video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVSaveTuned",
            display_name="Save Tuned Video Model",
            category="Tune-A-Video",
            **search_aliases("save motion", "export motion"),
            description="Keeps what was learned in models/tune_a_video. An existing file is never overwritten: the "
            "name gets a number.",
            inputs=[
                Tuned.Input("tuned", tooltip="From One-Shot Tune."),
                io.String.Input("name", default="my_motion", tooltip="Name of the file; may begin with a folder/."),
                io.Image.Input(
                    "preview",
                    optional=True,
                    tooltip="The clip, or a result: its middle frame is kept, small, in the file, and shown "
                    "where it is chosen in Load Tuned Video Model.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["fp16", "fp32"],
                    default="fp16",
                    optional=True,
                    tooltip="Precision of the file. fp16 takes half the space; "
                    "fp32 keeps every bit of what was learned.",
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, tuned: host.TunedVideo, name: str, preview: io.Image.Type | None = None, precision: str = "fp16"
    ) -> io.NodeOutput:
        path, metadata = host.new_tuned_path(name), tuned.metadata
        if preview is not None:
            metadata = metadata | {"preview": tav_core.preview_frame(preview[len(preview) // 2, ..., :3])}
        tav_core.save_tuned(path, tuned.state, metadata, PRECISIONS[precision])
        return io.NodeOutput(ui={"tav_saved": [host.tuned_name(path)]})

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        """Check the name before a long tuning, not after it; a name from another node is not known yet."""
        try:
            if name is not None:
                host.new_tuned_path(name)
        except ValueError as error:
            return str(error)
        return True


class LoadTuned(io.ComfyNode):
    """Put a saved motion on a checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVLoadTuned",
            display_name="Load Tuned Video Model",
            category="Tune-A-Video",
            **search_aliases("load motion", "apply motion", "motion file"),
            **newer(has_intermediate_output=True),  # its ui comes with a run that ComfyUI answers from its cache, too
            description="Uses a saved motion with this checkpoint. A model that is not inflated yet is inflated as it "
            "was when the motion was tuned.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of a checkpoint of the same family, inflated or not."),
                io.Combo.Input("name", options=host.tuned_files(), tooltip="A file in models/tune_a_video."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How much of what was learned to use: 0 none, 1 all.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The tuned video model, an ordinary MODEL.")],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, name: str, strength: float) -> io.NodeOutput:
        state, metadata = tav_core.load_tuned(host.tuned_path(name))
        tuned = host.apply_tuned(model, state, metadata, strength)
        return io.NodeOutput(tuned, ui={"tav_notice": [name, host.other_base(model, metadata)]})

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: object) -> float | None:
        """Return when the file was changed; a name from another node is not known yet, and ComfyUI checks that node."""
        return None if name is None else host.tuned_path(name).stat().st_mtime
