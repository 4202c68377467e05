// Compare Videos: growing inputs, and the videos of the last run on the node.

import { app } from "../../../scripts/app.js"
import { CompareView, MIN_HEIGHT } from "./compare_view.js"
import { chain, widgetOf } from "./graph.js"
import { growInputs } from "./growing_inputs.js"
import { onOutput } from "./node_outputs.js"
import { addPanel } from "./node_panel.js"

const SIZE = [520, 560]
const LABELS_HEIGHT = 130 // pixels at most, nine lines: a larger node is for larger videos

app.registerExtension({
    name: "TuneAVideo.CompareVideos",

    nodeCreated(node) {
        if (node.comfyClass !== "TAVCompareVideos") return
        growInputs(node)
        widgetOf(node, "labels").options.getMaxHeight = () => LABELS_HEIGHT
        const view = new CompareView(node.properties)
        addPanel(node, "comparison", view.root, MIN_HEIGHT, () => view.destroy())
        view.bar.addToMenu(node)
        onOutput(node, "tav_comparison", (videos) => view.show(videos.map((video) => JSON.parse(video))))
        chain(node, "onConfigure", () => {
            view.properties = node.properties
            view.arrange()
        })
        node.setSize(SIZE)
    },
})
