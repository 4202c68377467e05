"""The ground of the other host tests: the pack loads, and the small checkpoint is untouched before it does anything."""

import json
import re

from comfy_server import PACK_FOLDER, Graph


def test_pack_loads_under_a_folder_name_that_is_no_python_name(server):
    nodes = {name for name in server.object_info() if name.startswith("TAV")}
    assert nodes == {
        "TAVLoadVideo", "TAVInflateUNet", "TAVOneShotTune", "TAVDDIMInvert", "TAVSampleVideo", "TAVSaveTuned",
        "TAVLoadTuned", "TAVCompareVideos", "TAVEvaluateVideo", "TAVLoadDemoModel", "TAVDemoClip", "TAVMaskFromPrompt",
        "TAVExtendVideoLatent",
    }  # fmt: skip
    line = re.search(rf"[\d.]+ seconds(.*): .*{re.escape(PACK_FOLDER)}", server.log.read_text())
    assert line[1] == "", "ComfyUI could not import the pack"


def test_start_loads_what_nodes_need_and_no_more(server):
    """ComfyUI waits for the imports of every pack: rooms without a node, and libraries of one node, come with a run."""
    core = {name.partition(".tav_core.")[2] for name in server.modules if ".tav_core." in name}
    rooms = {name.partition(".")[0] for name in core}
    assert "network" in rooms and not rooms & {"checkpoint", "terminal", "experiments", "study"}
    assert not {"diffusers", "cv2"} & set(server.modules)


def test_probe_sees_an_untouched_model(server):
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    probe = graph.add("ProbeModel", model=loader[0])
    entry = server.run(graph)
    report = json.loads(entry["outputs"][probe.id]["text"][0])
    assert report["overrides"] == []
    assert report["gradients"] == report["patches"] == 0
