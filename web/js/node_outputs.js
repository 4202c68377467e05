// The outputs of a node for the page: shown when it runs, and again after a reload or a change of tabs.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { allNodes, chain, nodeByExecutionId, rootGraph } from "./graph.js"

const listeners = new WeakMap() // node -> the key of its output, and the callback
const served = new WeakSet() // nodes that have had an output

/** Call `callback` with a node's output of this key: that of its last run, if any, and that of every further one. */
export function onOutput(node, key, callback) {
    listeners.set(node, { key, callback })
    chain(node, "onExecuted", (output) => deliver(node, output))
}

function deliver(node, output) {
    const { key, callback } = listeners.get(node)
    if (!output?.[key]) return
    served.add(node)
    callback(output[key])
}

/** Return the key under which ComfyUI keeps a node's output in the page. */
const locator = (node) => (node.graph.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id))

const listening = () => allNodes().filter((node) => listeners.has(node))
const waiting = () => listening().filter((node) => !served.has(node))

/** After a reload, take from the server's history what the page has forgotten. */
async function deliverFromHistory() {
    if (!waiting().length) return
    const history = await (await api.fetchApi("/history?max_items=32")).json()
    const runs = Object.values(history).reverse()
    const ours = runs.filter(({ prompt }) => prompt[3]?.extra_pnginfo?.workflow?.id === rootGraph().id)
    for (const node of waiting()) deliver(node, ours.map(({ outputs }) => outputOf(outputs, node)).find(Boolean))
}

/** Return a node's output in a run; it has several execution ids where several nodes stand for its subgraph. */
function outputOf(outputs, node) {
    const ids = Object.keys(outputs).filter((id) => nodeByExecutionId(id) === node)
    return ids.map((id) => outputs[id]).find((output) => output[listeners.get(node).key])
}

app.registerExtension({
    name: "TuneAVideo.NodeOutputs",

    afterConfigureGraph() {
        // not awaited: ComfyUI (frontend 1.49) would wait for it with the previous workflow still the active one
        deliverFromHistory().catch((error) => console.warn("Tune-A-Video: could not read the history:", error))
    },

    /** ComfyUI restores outputs that it kept: those of another tab, or of a run chosen in its queue. */
    onNodeOutputsUpdated(outputs) {
        for (const node of listening()) deliver(node, outputs?.[locator(node)])
    },
})
