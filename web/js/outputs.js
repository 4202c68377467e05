// What a node tells when it runs: taken at once, and again when ComfyUI shows its workflow anew.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { after, nodeOf, openNodes, root } from "./page.js"

const takers = new WeakMap() // node -> the name of what it tells, and what takes it
const served = new WeakSet() // nodes that have told something

/** Call `take` with what a node tells under a name: of its last run, if there was one, and of every further one. */
export function takeOutput(node, name, take) {
    takers.set(node, { name, take })
    after(node, "onExecuted", (output) => give(node, output))
}

function give(node, output) {
    const { name, take } = takers.get(node)
    if (!output?.[name]) return
    served.add(node)
    take(output[name])
}

/** Where ComfyUI keeps in the page what a node has told. */
const locator = (node) => (node.graph.isRootGraph === false ? `${node.graph.id}:${node.id}` : String(node.id))

const taking = () => openNodes().filter((node) => takers.has(node))
const waiting = () => taking().filter((node) => !served.has(node))

/** After a reload, ComfyUI has forgotten in the page what it still knows on the server. */
async function giveFromHistory() {
    if (!waiting().length) return
    const history = await (await api.fetchApi("/history?max_items=32")).json()
    const runs = Object.values(history).reverse()
    const ours = runs.filter(({ prompt }) => prompt[3]?.extra_pnginfo?.workflow?.id === root().id)
    for (const node of waiting()) give(node, ours.map(({ outputs }) => outputOf(outputs, node)).find(Boolean))
}

/** What a run says of a node, which has several ids there where several nodes stand for its subgraph. */
function outputOf(outputs, node) {
    const ids = Object.keys(outputs).filter((id) => nodeOf(id) === node)
    return ids.map((id) => outputs[id]).find((output) => output[takers.get(node).name])
}

app.registerExtension({
    name: "TuneAVideo.Outputs",

    afterConfigureGraph() {
        // without waiting, as ComfyUI would for what this returns, with the workflow of before still the active one
        giveFromHistory().catch((error) => console.warn("Tune-A-Video: what runs gave could not be read:", error))
    },

    /** ComfyUI shows again what it kept: of another tab, or of a run chosen in its queue. */
    onNodeOutputsUpdated(outputs) {
        for (const node of taking()) give(node, outputs?.[locator(node)])
    },
})
