// Compare Videos: its inputs grow, and what it was given is shown on it.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { keepOneFree } from "./compare_inputs.js"
import { CompareView, MIN_HEIGHT } from "./compare_view.js"
import { after, showOnNode } from "./page.js"

const NODE = "TAVCompareVideos"
const OUTPUT = "tav_comparison"
const SIZE = [520, 560]
const LABELS_HEIGHT = 130 // pixels at most: nine lines; a larger node is for larger videos

const views = new Map() // of the nodes in the graph

/** Where ComfyUI keeps what a node has shown. */
const locator = (node) => (node.graph.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id))

function showKept(outputs) {
    for (const [node, view] of views) {
        const told = outputs?.[locator(node)]?.[OUTPUT]
        if (told) view.show(told)
    }
}

/** After a reload, ComfyUI has forgotten in the page what it still knows on the server. */
async function showFromHistory() {
    const empty = [...views].filter(([, view]) => !view.shown)
    if (!empty.length) return
    const history = await (await api.fetchApi("/history?max_items=32")).json()
    const runs = Object.values(history).reverse()
    const ours = runs.filter(({ prompt }) => prompt[3]?.extra_pnginfo?.workflow?.id === app.graph.id)
    for (const [node, view] of empty) {
        const told = ours.map(({ outputs }) => outputOf(outputs, node)).find(Boolean)
        if (told && !view.shown) view.show(told)
    }
}

/** What a run says of a node; within subgraphs, its id comes last. */
function outputOf(outputs, node) {
    const id = Object.keys(outputs).find((key) => key.split(":").at(-1) === String(node.id))
    return outputs[id]?.[OUTPUT]
}

app.registerExtension({
    name: "TuneAVideo.CompareVideos",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        keepOneFree(node)
        node.widgets.find(({ name }) => name === "labels").options.getMaxHeight = () => LABELS_HEIGHT
        const view = new CompareView(node.properties)
        showOnNode(node, "comparison", view.root, MIN_HEIGHT, () => {
            views.delete(node)
            view.end()
        })
        after(node, "onExecuted", (output) => output?.[OUTPUT] && view.show(output[OUTPUT]))
        after(node, "onConfigure", () => {
            view.properties = node.properties
            view.arrange()
        })
        node.setSize(SIZE)
        after(node, "onAdded", () => views.set(node, view))
    },

    afterConfigureGraph: showFromHistory,

    /** ComfyUI shows again what it kept: of another tab, or of a run chosen in its queue. */
    onNodeOutputsUpdated: showKept,
})
