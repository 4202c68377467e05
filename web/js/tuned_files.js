// What a saved motion says of itself, shown on Load Tuned Video Model when it is chosen, and its name, shown on Save
// Tuned Video Model when it is saved.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { chosen } from "./linked_values.js"
import { takeOutput } from "./outputs.js"
import { addStyle, after, element, showOnNode } from "./page.js"
import { say } from "./words.js"

const HEIGHT = 104 // of the panel in pixels, without a notice
const NOTICE = 44
const LINE = 30
const NOT_THERE = "There is no {name} in models/tune_a_video yet."

const STYLE = `
.tav-tuned { display: flex; flex-wrap: wrap; gap: 4px 8px; box-sizing: border-box; width: 100%; height: 100%;
    min-height: ${HEIGHT}px; padding: 6px; overflow: auto; border-radius: 6px; font: 12px/1.35 sans-serif;
    color: var(--descrip-text); background: var(--component-node-widget-background, var(--comfy-input-bg)); }
.tav-tuned img { height: ${HEIGHT - 12}px; max-width: 40%; object-fit: contain; border-radius: 4px; }
.tav-tuned img:not([src]), .tav-tuned em:empty { display: none; }
.tav-tuned div { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.tav-tuned b { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
    color: var(--input-text); }
.tav-tuned span { display: block; }
.tav-tuned em { flex-basis: 100%; font-style: normal; color: var(--error-text); }
.tav-saved { box-sizing: border-box; width: 100%; min-height: ${LINE}px; padding: 6px; overflow: hidden;
    border-radius: 6px; font: 12px/1.5 sans-serif; text-align: center; align-content: center;
    text-overflow: ellipsis; white-space: nowrap; color: var(--descrip-text);
    background: var(--component-node-widget-background, var(--comfy-input-bg)); }
`

/** The lines that tell a file's metadata; what is not there is left out. */
function lines({ frames, width, height, fps, steps, date, base_architecture: base }) {
    const join = (...parts) => parts.filter(Boolean).join(" · ")
    return [
        join(frames && say("{frames} frames", { frames }), width && `${width} x ${height}`, fps && `${Number(fps.toFixed(2))} fps`),
        join(steps && say("{steps} steps", { steps }), date),
        base?.split(" (")[0],
    ].filter(Boolean)
}

/** The panel under the widgets of a node, about the file that it will load. */
class About {
    constructor(node) {
        this.node = node
        this.choice = node.widgets.find((widget) => widget.name === "name")
        this.picture = element("img")
        this.text = element("div")
        this.notice = element("em")
        this.root = element("div.tav-tuned", {}, this.picture, this.text, this.notice)
    }

    get name() {
        return chosen(this.node, "name", updateAll)
    }

    /** Show what is chosen now, when all that happens at once is done. */
    update() {
        clearTimeout(this.timer)
        this.timer = setTimeout(() => this.node.graph && this.load())
    }

    /** Show the chosen file, once its header has come. */
    async load() {
        const { name } = this
        const input = this.choice.name
        this.warn()
        if (name === undefined)
            return this.show({ error: say("No preview: {input} comes from another node.", { input }) })
        if (!this.choice.options.values.includes(name))
            return this.show({ error: say(name ? NOT_THERE : "No motion is saved yet.", { name }) })
        const answer = await api.fetchApi(`/tune_a_video/tuned?name=${encodeURIComponent(name)}`)
        const metadata = await answer.json()
        if (this.node.graph && this.name === name) this.show(metadata)
    }

    /** Show what a run had to say, which is about the file that it loaded. */
    warn(told = this.told) {
        this.told = told
        const { name } = this
        this.notice.textContent = told && (name === undefined || name === told.name) ? told.notice : ""
    }

    show(metadata) {
        if (metadata.preview) this.picture.src = `data:image/jpeg;base64,${metadata.preview}`
        else this.picture.removeAttribute("src")
        const said = metadata.error ? [] : lines(metadata)
        const title = metadata.error ?? metadata.prompt
        const nothing = say("The file says nothing about itself; it may be a published one.")
        this.text.replaceChildren(
            element("b", { title: title ?? "" }, title || (said.length ? "" : nothing)),
            ...said.map((line) => element("span", {}, line)),
        )
    }
}

const shown = new Set()

function updateAll() {
    for (const about of shown) about.update()
}

function tellOfFile(node) {
    const about = new About(node)
    const height = () => HEIGHT + (about.notice.textContent ? NOTICE : 0)
    showOnNode(node, "about", about.root, height, () => shown.delete(about))
    takeOutput(node, "tav_notice", ([name, notice]) => about.warn({ name, notice }))

    const update = () => about.update()
    after(about.choice, "callback", update)
    after(node, "onConfigure", update)
    after(node, "onConnectionsChange", update)
    after(node, "onAdded", () => {
        shown.add(about)
        update()
    })
}

function tellOfSaving(node) {
    const line = element("div.tav-saved", { role: "status" }, say("Run the graph to save the motion."))
    showOnNode(node, "saved", line, LINE)
    takeOutput(node, "tav_saved", ([name]) => (line.textContent = line.title = say("Saved as {name}", { name })))
}

const TELL = { TAVLoadTuned: tellOfFile, TAVSaveTuned: tellOfSaving }

app.registerExtension({
    name: "TuneAVideo.TunedFiles",

    nodeCreated(node) {
        if (!(node.comfyClass in TELL)) return
        addStyle("tav-tuned-style", STYLE)
        TELL[node.comfyClass](node)
    },

    /** The person pressed R: a file may have come, or another one under the same name. */
    refreshComboInNodes: updateAll,
})
