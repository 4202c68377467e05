// One-Shot Tune: shows the server's messages and runs on the node that they belong to.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { allNodes, chain, nodeByExecutionId, rootGraph, widgetOf } from "./graph.js"
import { addPanel } from "./node_panel.js"
import { TunePanel } from "./tune_panel.js"

const NODE = "TAVOneShotTune"
const panels = new WeakMap() // node -> its panel

function panelOf({ node, workflow }) {
    return workflow === rootGraph().id ? panels.get(nodeByExecutionId(node)) : undefined
}

/** Make a node on the classic canvas as high as its content; the Vue renderer does so by itself. */
function growToContent(node) {
    const least = LiteGraph.vueNodesMode ? 0 : node.computeSize()[1]
    if (node.size[1] < least) node.setSize([node.size[0], least])
}

const openPanels = () => allNodes().flatMap((node) => panels.get(node) ?? [])

let refreshing = null // id of the workflow

/** Show the last runs of this workflow from the server: after a reload, and when messages were missed. */
async function refresh() {
    const workflow = rootGraph().id
    if (refreshing === workflow || !openPanels().length) return
    refreshing = workflow
    try {
        const runs = await (await api.fetchApi(`/tune_a_video/runs?${new URLSearchParams({ workflow })}`)).json()
        const shown = new Map(runs.map((run) => [panelOf(run), run]))
        for (const [panel, run] of await borrowed(workflow)) shown.set(panel, run)
        if (workflow !== rootGraph().id) return // another was opened meanwhile
        for (const panel of openPanels()) panel.show(shown.get(panel) ?? null)
    } catch (error) {
        console.warn("Tune-A-Video: could not read the tuning runs:", error)
    } finally {
        if (refreshing === workflow) refreshing = null
    }
}

/** Fetch a run; null when the server has forgotten it. */
async function fetchRun(id) {
    const response = await api.fetchApi(`/tune_a_video/runs/${id}`)
    return response.ok ? response.json() : null
}

// When ComfyUI answers a node from its cache with the run of another node, the page remembers that run's id, also over
// a reload: the server does not know that this node shows it.
const keyOf = ({ workflow, node }) => `TuneAVideo.run ${workflow} ${node}`

/** Return the panels of this workflow that show such a run, with the runs. */
async function borrowed(workflow) {
    const start = keyOf({ workflow, node: "" })
    const kept = Object.entries(sessionStorage).filter(([key]) => key.startsWith(start))
    const runs = await Promise.all(kept.map(async ([key, id]) => [key.slice(start.length), await fetchRun(id)]))
    return runs.flatMap(([node, run]) => (run ? [[panels.get(nodeByExecutionId(node)), run]] : []))
}

/**
 * Show the run behind a result that ComfyUI took from its cache, as for a copy of a workflow. Results of prompts of
 * other workflows are left out: ComfyUI gives them to whichever node has the same number here.
 */
async function showResult({ node, display_node: shown = node, output, prompt_id: prompt }) {
    const [id] = output?.tav_run ?? []
    const panel = panels.get(nodeByExecutionId(shown))
    if (!id || !panel || panel.run?.run === id) return
    const workflow = rootGraph().id
    const run = await fetchRun(id)
    if (!run || (run.prompt === prompt && panelOf(run) !== panel)) return
    sessionStorage.setItem(keyOf({ workflow, node: shown }), id)
    panel.show(run)
}

const actions = {
    stop: (run) => api.fetchApi("/tune_a_video/stop", { method: "POST", body: JSON.stringify({ run: run.run }) }),
    cancel: (run) => api.interrupt(run.prompt),
    continue: () => app.queuePrompt(0), // the server runs a stopped tuning again, and it continues
}

api.addEventListener("tune_a_video.start", ({ detail }) => {
    sessionStorage.removeItem(keyOf(detail))
    panelOf(detail)?.show(detail)
})
for (const kind of ["step", "preview", "end"]) {
    api.addEventListener(`tune_a_video.${kind}`, ({ detail }) => {
        if (panelOf(detail)?.apply(detail) === false) refresh()
    })
}
api.addEventListener("executed", ({ detail }) => showResult(detail))
api.addEventListener("reconnected", refresh)

app.registerExtension({
    name: "TuneAVideo.OneShotTune",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        const panel = new TunePanel(actions)
        panels.set(node, panel)
        addPanel(node, "tuning", panel.root, () => panel.height, () => panel.destroy())
        const every = widgetOf(node, "preview_every")
        const expect = () => {
            panel.expectPreviews(every.value)
            growToContent(node)
        }
        chain(every, "callback", expect)
        chain(node, "onConfigure", ({ widgets_values: values }) => {
            const rank = widgetOf(node, "rank")
            if (values && values.length <= node.widgets.indexOf(rank)) rank.value = 0 // saved before there were ranks
            expect()
        })
        expect()
    },

    afterConfigureGraph() {
        refresh() // not awaited: ComfyUI (frontend 1.49) would wait for it with the previous workflow still the active one
    },
})
