// Compare Videos: its inputs grow, and what it was given is shown on it.

import { app } from "../../../scripts/app.js"
import { keepOneFree } from "./compare_inputs.js"
import { CompareView, MIN_HEIGHT } from "./compare_view.js"
import { takeOutput } from "./outputs.js"
import { after, showOnNode } from "./page.js"

const NODE = "TAVCompareVideos"
const SIZE = [520, 560]
const LABELS_HEIGHT = 130 // pixels at most: nine lines; a larger node is for larger videos

app.registerExtension({
    name: "TuneAVideo.CompareVideos",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        keepOneFree(node)
        node.widgets.find(({ name }) => name === "labels").options.getMaxHeight = () => LABELS_HEIGHT
        const view = new CompareView(node.properties)
        showOnNode(node, "comparison", view.root, MIN_HEIGHT, () => view.end())
        takeOutput(node, "tav_comparison", (videos) => view.show(videos.map((video) => JSON.parse(video))))
        after(node, "onConfigure", () => {
            view.properties = node.properties
            view.arrange()
        })
        node.setSize(SIZE)
    },
})
