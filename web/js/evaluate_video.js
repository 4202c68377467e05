// Evaluate Video: growing inputs.

import { app } from "../../../scripts/app.js"
import { growInputs } from "./growing_inputs.js"

app.registerExtension({
    name: "TuneAVideo.EvaluateVideo",

    nodeCreated(node) {
        if (node.comfyClass === "TAVEvaluateVideo") growInputs(node)
    },
})
