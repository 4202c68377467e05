// One-Shot Tune: shows the server's messages and runs on the node that they belong to.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { allNodes, chain, executions, nodeByExecutionId, rootGraph, widgetOf } from "./graph.js"
import { addPanel } from "./node_panel.js"
import { TunePanel } from "./tune_panel.js"

const NODE = "TAVOneShotTune"
const RUNS = "tune_a_video_runs" // in `extra` of the workflow in a saved file: execution id -> run that it comes from
const panels = new WeakMap() // node -> its panel; a subgraph node shows the run of a node inside

const panelOf = (id) => panels.get(nodeByExecutionId(id))

/** Return the panels that show a run of this workflow: its node's own, and those of the subgraph nodes around it. */
function panelsOf({ node, workflow }) {
    if (workflow !== rootGraph().id || !panelOf(node)) return []
    const ids = node.split(":")
    const outside = ids.slice(1).map((_, i) => nodeByExecutionId(ids.slice(0, i + 1).join(":")))
    return [panelOf(node), ...outside.map((it) => panels.get(it) ?? addTunePanel(it))]
}

function addTunePanel(node) {
    const panel = new TunePanel(actions)
    panels.set(node, panel)
    addPanel(node, "tuning", panel.root, () => panel.height, () => panel.destroy())
    return panel
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
        const last = new Map(runs.map((run) => [run.node, run]))
        for (const [node, run] of await borrowed(workflow)) if (last.get(node)?.state !== "running") last.set(node, run)
        if (workflow !== rootGraph().id) return // another was opened meanwhile
        const shown = new Map()
        for (const [node, run] of last) {
            if (run) for (const panel of panelsOf({ node, workflow })) shown.set(panel, run)
        }
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

/** Return such nodes of this workflow, by their execution ids, with the runs; null for one that is to show none. */
async function borrowed(workflow) {
    const start = keyOf({ workflow, node: "" })
    const kept = Object.entries(sessionStorage).filter(([key]) => key.startsWith(start))
    return Promise.all(kept.map(async ([key, id]) => [key.slice(start.length), id ? await fetchRun(id) : null]))
}

// So it does when the workflow comes from a file: later runs of it are not those that the file comes from.
let fromFile = false
const { graphToPrompt, handleFile } = app
app.handleFile = async function (...args) {
    fromFile = true
    try {
        return await handleFile.apply(this, args)
    } finally {
        fromFile = false
    }
}
app.graphToPrompt = async function (...args) {
    const prompt = await graphToPrompt.apply(this, args)
    const shown = tuneNodes().flatMap(([id, node]) => (panels.get(node)?.run ? [[id, panels.get(node).run.run]] : []))
    prompt.workflow.extra = { ...prompt.workflow.extra, [RUNS]: Object.fromEntries(shown) }
    return prompt
}

const tuneNodes = () => executions().filter(([, { comfyClass }]) => comfyClass === NODE)

/** Show the runs that the file names, and none where it names none. */
function keepRunsOfFile() {
    const { id: workflow, extra } = rootGraph()
    for (const [node] of tuneNodes()) sessionStorage.setItem(keyOf({ workflow, node }), extra[RUNS]?.[node] ?? "")
}

/**
 * Show the run behind a result that ComfyUI took from its cache, as for a copy of a workflow. Results of prompts of
 * other workflows are left out: ComfyUI gives them to whichever node has the same number here.
 */
async function showResult({ node, display_node: shown = node, output, prompt_id: prompt }) {
    const [id] = output?.tav_run ?? []
    const panel = panelOf(shown)
    if (!id || !panel || panel.run?.run === id) return
    const workflow = rootGraph().id
    const run = await fetchRun(id)
    if (!run || (run.prompt === prompt && !panelsOf(run).includes(panel))) return
    sessionStorage.setItem(keyOf({ workflow, node: shown }), id)
    for (const it of panelsOf({ node: shown, workflow })) it.show(run)
}

const actions = {
    stop: (run) => api.fetchApi("/tune_a_video/stop", { method: "POST", body: JSON.stringify({ run: run.run }) }),
    cancel: (run) => api.interrupt(run.prompt),
    continue: () => app.queuePrompt(0), // the server runs a stopped tuning again, and it continues
}

api.addEventListener("tune_a_video.start", ({ detail }) => {
    sessionStorage.removeItem(keyOf(detail))
    for (const panel of panelsOf(detail)) panel.show(detail)
})
for (const kind of ["step", "preview", "end"]) {
    api.addEventListener(`tune_a_video.${kind}`, ({ detail }) => {
        if (panelsOf(detail).some((panel) => panel.apply(detail) === false)) refresh()
    })
}
api.addEventListener("executed", ({ detail }) => showResult(detail))
api.addEventListener("reconnected", refresh)

/** Let the preset set the inputs that it stands for, and show which one they hold; return a function that does. */
function followPreset(node) {
    const preset = widgetOf(node, "preset")
    const presets = Object.entries(node.constructor.nodeData.input.optional.preset[1].tav_presets)
    const inputs = Object.keys(presets[0][1]).map((name) => widgetOf(node, name))
    const show = () => {
        const held = presets.find(([, values]) => inputs.every(({ name, value }) => value === values[name]))
        preset.value = held?.[0] ?? "custom"
    }
    chain(preset, "callback", (chosen) => {
        const [, values] = presets.find(([name]) => name === chosen) ?? []
        if (values) for (const input of inputs) input.value = values[input.name]
        show()
    })
    for (const input of inputs) chain(input, "callback", show)
    return show
}

app.registerExtension({
    name: "TuneAVideo.OneShotTune",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        const panel = addTunePanel(node)
        const every = widgetOf(node, "preview_every")
        const expect = () => {
            panel.expectPreviews(every.value)
            growToContent(node)
        }
        chain(every, "callback", expect)
        const showPreset = followPreset(node)
        chain(node, "onConfigure", ({ widgets_values: values }) => {
            showPreset()
            const rank = widgetOf(node, "rank")
            if (values && values.length <= node.widgets.indexOf(rank)) rank.value = 0 // saved before there were ranks
            expect()
        })
        expect()
    },

    afterConfigureGraph() {
        if (fromFile) keepRunsOfFile()
        refresh() // not awaited: ComfyUI (frontend 1.49) would wait for it with the previous workflow still the active one
    },
})
