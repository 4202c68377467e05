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

const openPanels = () => openNodes().flatMap((node) => panels.get(node) ?? [])

let asking = null // of which workflow

/** Show the last runs of this workflow as the server keeps them: after a reload, and when messages were missed. */
async function refresh() {
    const workflow = root().id
    if (asking === workflow || !openPanels().length) return
    asking = workflow
    try {
        const runs = await (await api.fetchApi(`/tune_a_video/runs?${new URLSearchParams({ workflow })}`)).json()
        const shown = new Map(runs.map((run) => [panelOf(run), run]))
        for (const [panel, run] of await borrowed(workflow)) shown.set(panel, run)
        if (workflow !== root().id) return // another was opened meanwhile
        for (const panel of openPanels()) panel.show(shown.get(panel) ?? null)
    } catch (error) {
        console.warn("Tune-A-Video: how far the tuning is could not be read:", error)
    } finally {
        if (asking === workflow) asking = null
    }
}

/** A run as the server keeps it; null when it does not any more. */
async function fetchRun(id) {
    const response = await api.fetchApi(`/tune_a_video/runs/${id}`)
    return response.ok ? response.json() : null
}

// Of a node that ComfyUI answered from its cache with the run of another node, the page keeps that run's id, over a
// reload too: the server does not know that this node shows it.
const keyOf = ({ workflow, node }) => `TuneAVideo.run ${workflow} ${node}`

/** The panels of this workflow that show such a run, and the runs. */
async function borrowed(workflow) {
    const start = keyOf({ workflow, node: "" })
    const kept = Object.entries(sessionStorage).filter(([key]) => key.startsWith(start))
    const runs = await Promise.all(kept.map(async ([key, id]) => [key.slice(start.length), await fetchRun(id)]))
    return runs.flatMap(([node, run]) => (run ? [[panels.get(nodeOf(node)), run]] : []))
}

/**
 * Show the run whose result ComfyUI gave, if no message told of it: a copy of a workflow is answered from the cache. But
 * not that of another workflow whose prompt this was: ComfyUI gives it to whichever node has the number here.
 */
async function showResult({ node, display_node: shown = node, output, prompt_id: prompt }) {
    const [id] = output?.tav_run ?? []
    const panel = panels.get(nodeOf(shown))
    if (!id || !panel || panel.run?.run === id) return
    const workflow = root().id
    const run = await fetchRun(id)
    if (!run || (run.prompt === prompt && panelOf(run) !== panel)) return
    sessionStorage.setItem(keyOf({ workflow, node: shown }), id)
    panel.show(run)
}

const ask = {
    stop: (run) => api.fetchApi("/tune_a_video/stop", { method: "POST", body: JSON.stringify({ run: run.run }) }),
    cancel: (run) => api.interrupt(run.prompt),
}

api.addEventListener("tune_a_video.start", ({ detail }) => {
    sessionStorage.removeItem(keyOf(detail))
    panelOf(detail)?.show(detail)
})
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

    afterConfigureGraph() {
        refresh() // ComfyUI would wait for what this returns, with the workflow of before still the active one
    },
})
