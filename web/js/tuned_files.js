// Load Tuned Video Model shows the metadata of the chosen file; Save Tuned Video Model shows the name of the saved one.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { addStyle, h } from "./dom.js"
import { chain, widgetOf } from "./graph.js"
import { t } from "./i18n.js"
import { inputValue } from "./linked_values.js"
import { onOutput } from "./node_outputs.js"
import { addPanel } from "./node_panel.js"
import { fromServer } from "./server_messages.js"

const HEIGHT = 104 // of the panel in pixels, without a notice
const NOTICE = 44
const LINE = 30
const NOT_THERE = "There is no {name} in models/tune_a_video yet."

const STYLE = `
.tav-tuned { display: flex; flex-wrap: wrap; gap: 4px 8px; overflow: auto; font-size: 12px; line-height: 1.35;
    color: var(--descrip-text); }
.tav-tuned img { height: ${HEIGHT - 12}px; max-width: 40%; object-fit: contain; border-radius: 4px; }
.tav-tuned img:not([src]), .tav-tuned em:empty { display: none; }
.tav-tuned div { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.tav-tuned b { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
    color: var(--input-text); }
.tav-tuned span { display: block; }
.tav-tuned em { flex-basis: 100%; font-style: normal; color: var(--error-text); }
.tav-saved { text-align: center; align-content: center; text-overflow: ellipsis; white-space: nowrap;
    color: var(--descrip-text); }
`

/** Return lines about a file from its metadata; missing fields are left out. */
function lines({ frames, width, height, fps, steps, date, base_architecture: base }) {
    const join = (...parts) => parts.filter(Boolean).join(" · ")
    return [
        join(frames && t("{frames} frames", { frames }), width && `${width} x ${height}`, fps && `${Number(fps.toFixed(2))} fps`),
        join(steps && t("{steps} steps", { steps }), date),
        base?.split(" (")[0],
    ].filter(Boolean)
}

/** The panel about the file that a node will load. */
class FilePanel {
    constructor(node) {
        this.node = node
        this.choice = widgetOf(node, "name")
        this.picture = h("img")
        this.text = h("div")
        this.notice = h("em")
        this.root = h("div.tav-tuned", {}, this.picture, this.text, this.notice)
    }

    get name() {
        return inputValue(this.node, "name", updateAll)
    }

    /** Show the current choice, after everything that happens at once. */
    update() {
        clearTimeout(this.timer)
        this.timer = setTimeout(() => this.node.graph && this.load())
    }

    /** Fetch and show the metadata of the chosen file. */
    async load() {
        const { name } = this
        const input = this.choice.name
        this.warn()
        if (name === undefined)
            return this.show({ error: t("No preview: {input} comes from another node.", { input }) })
        if (!this.choice.options.values.includes(name))
            return this.show({ error: t(name ? NOT_THERE : "No motion is saved yet.", { name }) })
        const answer = await api.fetchApi(`/tune_a_video/tuned?name=${encodeURIComponent(name)}`)
        const metadata = await answer.json()
        if (metadata.error) metadata.error = fromServer(metadata.error)
        if (this.node.graph && this.name === name) this.show(metadata)
    }

    /** Show the notice of a run, as long as the file that it loaded is chosen. */
    warn(notice = this.lastNotice) {
        this.lastNotice = notice
        const { name } = this
        this.notice.textContent = notice && (name === undefined || name === notice.name) ? notice.text : ""
    }

    show(metadata) {
        if (metadata.preview) this.picture.src = `data:image/jpeg;base64,${metadata.preview}`
        else this.picture.removeAttribute("src")
        const facts = metadata.error ? [] : lines(metadata)
        const title = metadata.error ?? metadata.prompt
        const unknown = t("The file has no metadata; it may be a published one.")
        this.text.replaceChildren(
            h("b", { title: title ?? "" }, title || (facts.length ? "" : unknown)),
            ...facts.map((line) => h("span", {}, line)),
        )
    }
}

const shown = new Set()

function updateAll() {
    for (const panel of shown) panel.update()
}

function showFile(node) {
    const panel = new FilePanel(node)
    const height = () => HEIGHT + (panel.notice.textContent ? NOTICE : 0)
    addPanel(node, "about", panel.root, height, () => shown.delete(panel))
    onOutput(node, "tav_notice", ([name, notice]) => panel.warn({ name, text: fromServer(notice) }))

    const update = () => panel.update()
    chain(panel.choice, "callback", update)
    chain(node, "onConfigure", update)
    chain(node, "onConnectionsChange", update)
    chain(node, "onAdded", () => {
        shown.add(panel)
        update()
    })
}

function showSaving(node) {
    const line = h("div.tav-saved", { role: "status" }, t("Run the graph to save the motion."))
    addPanel(node, "saved", line, LINE)
    onOutput(node, "tav_saved", ([name]) => (line.textContent = line.title = t("Saved as {name}", { name })))
}

const PANELS = { TAVLoadTuned: showFile, TAVSaveTuned: showSaving }

app.registerExtension({
    name: "TuneAVideo.TunedFiles",

    nodeCreated(node) {
        if (!(node.comfyClass in PANELS)) return
        addStyle("tav-tuned-style", STYLE)
        PANELS[node.comfyClass](node)
    },

    /** The user pressed R: a file may be new, or replaced by another of the same name. */
    refreshComboInNodes: updateAll,
})
