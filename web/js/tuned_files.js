// What a saved motion says of itself, shown on Load Tuned Video Model when it is chosen.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"

const NODE = "TAVLoadTuned"
const HEIGHT = 96

const STYLE = `
.tav-tuned { display: flex; gap: 8px; box-sizing: border-box; width: 100%; height: 100%; min-height: ${HEIGHT}px;
    padding: 6px; overflow: hidden; border-radius: 6px; font: 12px/1.35 sans-serif; color: var(--descrip-text);
    background: var(--comfy-input-bg); }
.tav-tuned img { height: ${HEIGHT - 12}px; max-width: 45%; object-fit: contain; border-radius: 4px; }
.tav-tuned img:not([src]) { display: none; }
.tav-tuned div { min-width: 0; overflow: auto; overflow-wrap: anywhere; }
.tav-tuned b { display: block; color: var(--input-text); }
.tav-tuned span { display: block; }
.tav-tuned em { display: block; font-style: normal; color: var(--error-text); }
`

/** The lines that tell a file's metadata; what is not there is left out. */
function lines({ frames, width, height, fps, steps, date, base_architecture: base }) {
    const join = (...parts) => parts.filter(Boolean).join(" · ")
    return [
        join(frames && `${frames} frames`, width && `${width} × ${height}`, fps && `${Number(fps.toFixed(2))} fps`),
        join(steps && `${steps} steps`, date),
        base,
    ].filter(Boolean)
}

function element(tag, text) {
    const made = document.createElement(tag)
    made.textContent = text
    return made
}

/** The panel under the widgets of one node, about the file that its widget `choice` names. */
class About {
    constructor(choice) {
        this.choice = choice
        this.root = element("div", "")
        this.root.className = "tav-tuned"
        this.picture = document.createElement("img")
        this.text = element("div", "")
        this.notice = element("em", "")
        this.root.append(this.picture, this.text)
    }

    /** Show the chosen file, once its header has come. */
    async load() {
        const name = this.choice.value
        this.notice.textContent = ""
        const answer = name ? await api.fetchApi(`/tune_a_video/tuned?name=${encodeURIComponent(name)}`) : null
        const metadata = (await answer?.json()) ?? { error: "No motion was saved yet: Save Tuned Video Model does that." }
        if (this.choice.value === name) this.show(metadata)
    }

    show(metadata) {
        if (metadata.preview) this.picture.src = `data:image/jpeg;base64,${metadata.preview}`
        else this.picture.removeAttribute("src")
        const said = metadata.error ? [] : lines(metadata)
        const title = metadata.error ?? metadata.prompt
        const nothing = "The file says nothing about itself; it may be a published one."
        this.text.replaceChildren(
            element("b", title || (said.length ? "" : nothing)),
            ...said.map((line) => element("span", line)),
            this.notice,
        )
    }
}

const shown = new Set()

/** Call `also` after the method of this name. */
function after(object, name, also) {
    const original = object[name]
    object[name] = function (...args) {
        const result = original?.apply(this, args)
        also(...args)
        return result
    }
}

app.registerExtension({
    name: "TuneAVideo.TunedFiles",

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        if (!document.getElementById("tav-tuned-style")) {
            const style = element("style", STYLE)
            style.id = "tav-tuned-style"
            document.head.append(style)
        }
        const about = new About(node.widgets.find((widget) => widget.name === "name"))
        node.addDOMWidget("about", "tav_about", about.root, {
            serialize: false,
            getMinHeight: () => HEIGHT,
            getMaxHeight: () => 2 * HEIGHT,
        }).serialize = false

        after(about.choice, "callback", () => about.load())
        after(node, "onConfigure", () => about.load())
        after(node, "onExecuted", (output) => (about.notice.textContent = output?.notice?.[0] ?? ""))
        after(node, "onRemoved", () => shown.delete(about))
        shown.add(about)
        about.load()
    },

    /** The person pressed R: a file may have come, or another one under the same name. */
    refreshComboInNodes() {
        for (const about of shown) about.load()
    },
})
