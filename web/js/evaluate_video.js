// Evaluate Video: as many inputs for results as are used, and one more.

import { app } from "../../../scripts/app.js"
import { keepOneFree } from "./compare_inputs.js"

app.registerExtension({
    name: "TuneAVideo.EvaluateVideo",

    nodeCreated(node) {
        if (node.comfyClass === "TAVEvaluateVideo") keepOneFree(node)
    },
})
