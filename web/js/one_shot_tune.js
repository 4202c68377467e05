// One-Shot Tune: the server's messages and history, shown on the node that they belong to.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { after, nodeOf, openNodes, root, showOnNode } from "./page.js"
import { TunePanel } from "./tune_panel.js"

const NODE = "TAVOneShotTune"
const panels = new WeakMap() // node -> its panel

function panelOf({ node, workflow }) {
    return workflow === root().id ? panels.get(nodeOf(node)) : undefined
}

/** Make a node on the classic canvas as high as what it holds; the other renderer does so by itself. */
function makeRoom(node) {
    const least = LiteGraph.vueNodesMode ? 0 : node.computeSize()[1]
    if (node.size[1] < least) node.setSize([node.size[0], least])
}

let asking = false

/** Show the last runs of this workflow as the server keeps them: after a reload, and when messages were missed. */
async function refresh() {
    const open = openNodes().flatMap((node) => panels.get(node) ?? [])
    if (asking || !open.length) return
    asking = true
    try {
        const query = new URLSearchParams({ workflow: root().id })
        const runs = await (await api.fetchApi(`/tune_a_video/runs?${query}`)).json()
        const shown = new Map(runs.map((run) => [panelOf(run), run]))
        for (const panel of open) panel.show(shown.get(panel) ?? null)
    } catch (error) {
        console.warn("Tune-A-Video: how far the tuning is could not be read:", error)
    } finally {
        asking = false
    }
}

/**
 * Show the run whose result ComfyUI gave, if no message told of it: a copy of a workflow is answered from the cache. But
 * not that of another workflow whose prompt this was: ComfyUI gives it to whichever node has the number here.
 */
async function showResult({ node, display_node: shown = node, output, prompt_id: prompt }) {
    const [id] = output?.tav_run ?? []
    const panel = panels.get(nodeOf(shown))
    if (!id || !panel || panel.run?.run === id) return
    const response = await api.fetchApi(`/tune_a_video/runs/${id}`)
    if (!response.ok) return
    const run = await response.json()
    if (run.prompt !== prompt || panelOf(run) === panel) panel.show(run)
}

const ask = {
    stop: (run) => api.fetchApi("/tune_a_video/stop", { method: "POST", body: JSON.stringify({ run: run.run }) }),
    cancel: (run) => api.interrupt(run.prompt),
}

api.addEventListener("tune_a_video.start", ({ detail }) => panelOf(detail)?.show(detail))
for (const kind of ["step", "preview", "end"]) {
    api.addEventListener(`tune_a_video.${kind}`, ({ detail }) => {
        if (panelOf(detail)?.take(detail) === false) refresh()
    })
}
api.addEventListener("executed", ({ detail }) => showResult(detail))
api.addEventListener("reconnected", refresh)

app.registerExtension({
    name: "TuneAVideo.OneShotTune",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        const panel = new TunePanel((what, run) => ask[what](run))
        panels.set(node, panel)
        showOnNode(node, "tuning", panel.root, () => panel.height, () => panel.end())
        const every = node.widgets.find(({ name }) => name === "preview_every")
        const expect = () => {
            panel.expectPreviews(every.value)
            makeRoom(node)
        }
        after(every, "callback", expect)
        after(node, "onConfigure", expect)
    },

    afterConfigureGraph: refresh,
})
