// What a saved motion says of itself, shown on Load Tuned Video Model when it is chosen.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { addStyle, after, element, showOnNode } from "./page.js"
import { say } from "./words.js"

const NODE = "TAVLoadTuned"
const HEIGHT = 104 // of the panel in pixels, without a notice
const NOTICE = 44
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

/** The panel under the widgets of one node, about the file that its widget `choice` names. */
class About {
    constructor(choice) {
        this.choice = choice
        this.picture = element("img")
        this.text = element("div")
        this.notice = element("em")
        this.root = element("div.tav-tuned", {}, this.picture, this.text, this.notice)
    }

    /** Show the chosen file, once its header has come. */
    async load() {
        const name = this.choice.value
        this.notice.textContent = ""
        if (!this.choice.options.values.includes(name))
            return this.show({ error: say(name ? NOT_THERE : "No motion is saved yet.", { name }) })
        const answer = await api.fetchApi(`/tune_a_video/tuned?name=${encodeURIComponent(name)}`)
        const metadata = await answer.json()
        if (this.choice.value === name) this.show(metadata)
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

app.registerExtension({
    name: "TuneAVideo.TunedFiles",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        addStyle("tav-tuned-style", STYLE)
        const about = new About(node.widgets.find((widget) => widget.name === "name"))
        const height = () => HEIGHT + (about.notice.textContent ? NOTICE : 0)
        showOnNode(node, "about", about.root, height, () => shown.delete(about))

        after(about.choice, "callback", () => about.load())
        after(node, "onConfigure", () => about.load())
        after(node, "onExecuted", (output) => (about.notice.textContent = output?.notice?.[0] ?? ""))
        shown.add(about)
        about.load()
    },

    /** The person pressed R: a file may have come, or another one under the same name. */
    refreshComboInNodes() {
        for (const about of shown) about.load()
    },
})
