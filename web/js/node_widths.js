// A width at which a new node shows its names and values whole. A node that comes from a workflow keeps its own.

import { app } from "../../../scripts/app.js"

const WIDTHS = {
    TAVLoadVideo: 340,
    TAVInflateUNet: 320,
    TAVOneShotTune: 380,
    TAVDDIMInvert: 300,
    TAVSampleVideo: 320,
    TAVExtendVideoLatent: 320,
    TAVSaveTuned: 320,
    TAVLoadTuned: 360,
    TAVEvaluateVideo: 420,
    TAVDemoClip: 300,
}

app.registerExtension({
    name: "TuneAVideo.NodeWidths",

    nodeCreated(node) {
        const width = WIDTHS[node.comfyClass]
        if (width > node.size[0]) node.setSize([width, node.size[1]])
    },
})
