// Evaluate Video: growing inputs, and a panel that says what can be measured before a run, and shows the scores after it.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { addStyle, h } from "./dom.js"
import { chain, widgetOf } from "./graph.js"
import { growInputs } from "./growing_inputs.js"
import { t } from "./i18n.js"
import { onOutput } from "./node_outputs.js"
import { addPanel } from "./node_panel.js"
import { fromServer } from "./server_messages.js"

const HEIGHT = 110 // of the panel in pixels

const STYLE = `
.tav-scores { overflow: auto; user-select: text; }
.tav-scores table { border-collapse: collapse; width: 100%; }
.tav-scores th, .tav-scores td { padding: 3px 8px; text-align: right; font-variant-numeric: tabular-nums; }
.tav-scores th { font-weight: 600; color: var(--descrip-text); vertical-align: bottom; }
.tav-scores tr > :first-child { text-align: left; }
.tav-scores tbody tr { border-top: 1px solid var(--border-color); }
.tav-scores .tav-best { font-weight: 700; background: color-mix(in srgb, var(--p-primary-color, #3b8eea) 28%, transparent); }
.tav-scores p { margin: 4px 0; color: var(--descrip-text); }
`

const CHOICES = ["clip", "pickscore", "reconstruction"]

/** Ask what the node can measure here with its inputs as they are. */
async function askMeasurable(node) {
    const value = (name) => widgetOf(node, name).value
    const linked = (name) => node.inputs.some((input) => input.name === name && input.link != null)
    const flags = {
        clip_vision: linked("clip_vision"),
        prompt: linked("prompt") || value("prompt").trim(),
        reconstruction: value("reconstruction"),
    }
    const query = new URLSearchParams({ clip: value("clip"), pickscore: value("pickscore") })
    for (const [name, flag] of Object.entries(flags)) if (flag) query.set(name, "1")
    return (await api.fetchApi(`/tune_a_video/scores?${query}`)).json()
}

const notes = (sentences) => sentences.map((sentence) => h("p", {}, fromServer(sentence)))

function scoreTable({ columns, rows }) {
    const head = h("tr", {}, h("th"), ...columns.map((column) => h("th", { scope: "col" }, t(column))))
    const line = ({ name, prompt, cells }) =>
        h(
            "tr",
            { title: prompt },
            h("th", { scope: "row" }, name),
            ...cells.map(({ text, best }) => h(best ? "td.tav-best" : "td", {}, text)),
        )
    return h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows.map(line)))
}

class ScorePanel {
    constructor(node) {
        addStyle("tav-scores-style", STYLE)
        this.node = node
        this.root = h("div.tav-scores")
        // text in the panel can be selected: the canvas would drag the node
        this.root.addEventListener("pointerdown", (event) => event.stopPropagation())
    }

    /** Ask again what can be measured, once the user has paused; scores stay. */
    update() {
        clearTimeout(this.timer)
        this.timer = setTimeout(async () => {
            if (!this.node.graph || this.table) return
            const { scores, notes: missing, error } = await askMeasurable(this.node)
            if (this.table) return
            const what = error ?? t("Measures here: {scores}.", { scores: scores.map((score) => t(score)).join(", ") })
            this.root.replaceChildren(h("p", {}, what), ...notes(missing ?? []))
        }, 300)
    }

    show(table) {
        this.table = table
        this.root.replaceChildren(scoreTable(table), ...notes(table.notes))
    }

    /** Give up the scores, which belong to another choice. */
    reset() {
        this.table = null
        this.update()
    }
}

app.registerExtension({
    name: "TuneAVideo.EvaluateVideo",

    nodeCreated(node) {
        if (node.comfyClass !== "TAVEvaluateVideo") return
        growInputs(node)
        const panel = new ScorePanel(node)
        addPanel(node, "scores", panel.root, HEIGHT)
        onOutput(node, "tav_scores", ([table]) => panel.show(JSON.parse(table)))
        for (const name of CHOICES) chain(widgetOf(node, name), "callback", () => panel.reset())
        chain(widgetOf(node, "prompt"), "callback", () => panel.update())
        chain(node, "onConnectionsChange", () => panel.update())
        chain(node, "onConfigure", () => panel.update())
        panel.update()
    },
})
