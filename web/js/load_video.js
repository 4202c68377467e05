// Load Video: upload of a file, and a player of the frames that are chosen from it.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { addStyle, h } from "./dom.js"
import { chain, widgetOf } from "./graph.js"
import { t } from "./i18n.js"
import { inputValue } from "./linked_values.js"
import { addPanel } from "./node_panel.js"
import { Playback, clear, fit, readSpriteSheet } from "./player.js"
import { BAR_STYLE, PlayerBar, iconButton } from "./player_bar.js"
import { fromServer } from "./server_messages.js"

const NODE = "TAVLoadVideo"
const CHOICE = ["video", "start", "stride", "frames", "width", "height", "resize"]
const LAYOUT = ["frames", "columns", "width", "height"] // of the sprite sheet, in its headers
const FILES = /\.(mp4|m4v|webm|mov|mkv|avi|gif)$/i
const DELAY = 300 // ms after the last change
const MIN_HEIGHT = 250

const STYLE = `
.tav-clip { display: flex; flex-direction: column; gap: 6px; }
.tav-clip canvas { flex: 1 1 0; min-height: 0; width: 100%; cursor: pointer; }
.tav-clip p { margin: 0; text-align: center; overflow-wrap: anywhere; }
.tav-clip small { display: block; font-size: 11px; color: var(--descrip-text); }
.tav-clip.tav-without p { margin: auto; }
.tav-clip.tav-without canvas { display: none; }
.tav-clip.tav-wrong p { color: color-mix(in srgb, var(--error-text) 65%, var(--input-text)); }
.tav-clip canvas:focus-visible { outline: 1px solid var(--input-text); }
.tav-clip.tav-loading > * { opacity: 0.4; }
.tav-clip.tav-without .tav-bar { visibility: hidden; }
${BAR_STYLE}`

const short = (number) => String(Number(number.toFixed(2)))
const describe = ({ fps, duration, ...counts }) =>
    t("{frames} frames · {fps} fps · {seconds} s · {width} × {height}", {
        fps: short(fps),
        seconds: short(duration),
        ...counts,
    })

async function send(route, options) {
    const response = await api.fetchApi(route, options)
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`)
    return response
}

/** The frames that a Load Video node would output, and a line about them or about what is wrong with the choice. */
class ClipPreview {
    constructor(node) {
        this.node = node
        const title = t("Play or pause (space), one frame back or on (arrow keys)")
        this.canvas = h("canvas", { tabindex: 0, role: "img", title })
        this.canvas.addEventListener("click", () => this.playback.play(!this.playback.playing))
        this.canvas.addEventListener("keydown", (event) => this.playback.key(event))
        this.line = h("p", { role: "status" })
        this.root = h("div.tav-clip", {}, this.canvas)
        this.playback = new Playback(this.canvas, () => this.draw())
        const start = iconButton("start", t("Start at this frame"), () => this.trim({ start: true }))
        const end = iconButton("end", t("End with this frame"), () => this.trim({ end: true }))
        this.bar = new PlayerBar(this.playback, this.root, (frame) => this.picture(frame), start, end)
        this.root.append(this.bar.root, this.line)
    }

    /** Show the current choice after a short delay: more may change at once. A copy in no graph shows nothing. */
    update() {
        if (!this.node.graph) return
        clearTimeout(this.timer)
        this.request?.abort()
        this.root.classList.add("tav-loading")
        this.timer = setTimeout(() => this.load(), DELAY)
    }

    async load() {
        const { signal } = (this.request = new AbortController())
        try {
            await this.ask(signal)
        } catch (error) {
            if (!signal.aborted) this.fail(t("The preview could not be loaded: {reason}", { reason: error.message }))
        }
        if (!signal.aborted) this.root.classList.remove("tav-loading")
        this.node.graph?.setDirtyCanvas(true)
    }

    async ask(signal) {
        const choice = CHOICE.map((name) => [name, inputValue(this.node, name, updateAll)])
        const open = choice.find(([, value]) => value === undefined)
        if (open) return this.without(t("No preview: {input} comes from another node.", { input: open[0] }))
        const query = new URLSearchParams(choice)
        const facts = await (await send(`/tune_a_video/clip?${query}`, { signal })).json()
        if (facts.error) return this.reject(fromServer(facts.error), query, signal)
        this.describe(facts, Number(query.get("frames")))
        await this.showFrames(facts.clip, query, signal)
    }

    /** Say what is wrong with the choice, and show all frames from its start, or else all of the file, to choose from. */
    async reject(message, query, signal) {
        const { start } = Object.fromEntries(query)
        this.fail(message)
        for (const instead of [{ start, frames: 0 }, { start: 0, frames: 0 }]) {
            for (const [name, value] of Object.entries(instead)) query.set(name, value)
            const { clip } = await (await send(`/tune_a_video/clip?${query}`, { signal })).json()
            if (clip) return this.showFrames(clip, query, signal)
        }
    }

    async showFrames(clip, query, signal) {
        const response = await send(`/tune_a_video/clip/frames?${query}`, { signal })
        if (response.headers.get("Content-Type") !== "image/jpeg") return this.fail(fromServer((await response.json()).error))
        const layout = {}
        for (const name of LAYOUT) layout[name] = Number(response.headers.get(`Sheet-${name}`))
        const sheet = await readSpriteSheet(response, layout, [clip.width, clip.height])
        if (signal.aborted) return
        this.root.classList.remove("tav-without")
        this.first = Number(query.get("start"))
        this.show(sheet, clip.fps)
    }

    describe({ clip, source, bytes }, wanted) {
        const less = t("The file breaks off: {frames} of {wanted} frames can be read. ", { ...clip, wanted })
        this.root.classList.remove("tav-wrong", "tav-without")
        const from = h("small", {}, t("from {clip}", { clip: describe(source) }))
        const distorted = Math.abs(Math.log((clip.width * source.height) / (clip.height * source.width))) > 0.05
        const stretches = distorted && inputValue(this.node, "resize", updateAll) === "stretch"
        const hint = t("The clip is stretched from {width} × {height}: choose crop or pad to keep its shapes. ", source)
        const size = bytes < 1e9 ? "" : t(" · {size} GB of memory", { size: (bytes / 1e9).toFixed(1) })
        this.line.replaceChildren(clip.frames < wanted ? less : "", describe(clip), size, from)
        if (stretches) this.line.append(h("small", {}, hint))
    }

    show(sheet, fps) {
        this.sheet?.bitmap.close()
        this.sheet = sheet
        this.playback.load(sheet?.frames ?? 0, fps)
    }

    /** Show a sentence in place of the frames. */
    without(message) {
        this.show(null, 1)
        this.root.classList.add("tav-without")
        this.root.classList.remove("tav-wrong")
        this.line.replaceChildren(message)
    }

    fail(message) {
        this.without(message)
        this.root.classList.add("tav-wrong")
    }

    /** Show that a file is uploading; return the controller that a later upload or choice aborts. */
    uploading({ name }) {
        clearTimeout(this.timer)
        this.request?.abort()
        this.root.classList.remove("tav-loading")
        this.without(t("Uploading {file} …", { file: name }))
        this.upload?.abort()
        return (this.upload = new AbortController())
    }

    /** Let the clip start or end with the frame that is shown. */
    trim({ start, end }) {
        const { frame, count } = this.playback
        const values = { start: this.sourceFrame(start ? frame : 0), frames: end ? frame + 1 : count - frame }
        for (const [name, value] of Object.entries(values)) {
            const widget = widgetOf(this.node, name)
            widget.value = value
            widget.callback?.(value)
        }
    }

    /** Return the number in the file of a frame of the clip, counted from 0 like `start`. */
    sourceFrame(frame) {
        return this.first + frame * Number(inputValue(this.node, "stride", updateAll))
    }

    /** Draw a frame in the size of the clip. */
    picture(frame) {
        const [width, height] = this.sheet.size
        const canvas = h("canvas", { width, height })
        this.sheet.draw(canvas.getContext("2d"), frame, { width, height })
        return canvas
    }

    draw() {
        this.bar.update()
        if (this.playback.count) {
            const number = this.sourceFrame(this.playback.frame)
            this.bar.count.title = t("frame {number} of the file", { number })
        }
        const context = clear(this.canvas)
        this.sheet?.draw(context, this.playback.frame, fit(this.canvas, this.sheet.size))
    }

    destroy() {
        clearTimeout(this.timer)
        this.request?.abort()
        this.playback.destroy()
        this.sheet?.bitmap.close()
        this.sheet = null
    }
}

/** Send a file to ComfyUI's input folder and choose it, unless another is sent or chosen meanwhile. */
async function upload(node, preview, file) {
    const { signal } = preview.uploading(file)
    const body = new FormData()
    body.append("image", file)
    try {
        const answer = await send("/upload/image", { method: "POST", body, signal })
        choose(node, await answer.json())
    } catch ({ message: reason }) {
        if (!signal.aborted) preview.fail(t("{file} could not be uploaded: {reason}", { file: file.name, reason }))
    }
}

/** Choose a file of ComfyUI's input folder. */
function choose(node, { name, subfolder }) {
    const value = subfolder ? `${subfolder}/${name}` : name
    const widget = widgetOf(node, "video")
    if (!widget.options.values.includes(value)) widget.options.values.push(value)
    const before = widget.value
    widget.value = value
    widget.callback?.(value)
    node.onWidgetChanged?.(widget.name, value, before, widget) // takes away the red frame of a missing file
    node.graph?.setDirtyCanvas(true)
}

/** Return the video among dropped or pasted files. */
const videoAmong = (files) => [...files].find((file) => file.type.startsWith("video/") || FILES.test(file.name))

/** Upload files by the button, dropped on the node, or pasted while it is selected. */
function acceptFiles(node, preview) {
    const take = (files) => {
        const file = videoAmong(files)
        if (file) upload(node, preview, file)
        return Boolean(file)
    }
    const picker = h("input", { type: "file", accept: "video/*,.mkv,.gif", onchange: () => take(picker.files) })
    const pick = () => {
        picker.value = "" // so that the same file can be chosen again
        picker.click()
    }
    const options = { serialize: false, canvasOnly: true } // the Vue renderer has a button beside the file's name
    const button = node.addWidget("button", "upload", "image", pick, options)
    button.label = t("choose a video to upload")
    node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file")
    node.onDragDrop = (event) => take(event.dataTransfer?.files ?? [])
    preview.root.addEventListener("dragover", (event) => node.onDragOver(event) && event.preventDefault())
    preview.root.addEventListener("drop", (event) => {
        if (!node.onDragDrop(event)) return
        event.preventDefault()
        event.stopPropagation()
    })
    node.previewMediaType = "video" // ComfyUI gives a pasted video to a selected node of this kind
    node.pasteFiles = take
}

const previews = new Set()

function updateAll() {
    for (const preview of previews) preview.update()
}

app.registerExtension({
    name: "TuneAVideo.LoadVideo",

    /** Leave out ComfyUI's upload button and its preview of the whole file: this node has its own. */
    beforeRegisterNodeDef(nodeType, nodeData) {
        if (nodeData.name === NODE) delete nodeData.input.required.upload
    },

    nodeCreated(node) {
        if (node.comfyClass !== NODE) return
        addStyle("tav-clip-style", STYLE)
        const preview = new ClipPreview(node)
        acceptFiles(node, preview)
        preview.bar.addToMenu(node)
        addPanel(node, "preview", preview.root, MIN_HEIGHT, () => {
            previews.delete(preview)
            preview.destroy()
        })
        const update = () => preview.update()
        for (const name of CHOICE) chain(widgetOf(node, name), "callback", update)
        chain(widgetOf(node, "video"), "callback", () => preview.upload?.abort())
        chain(node, "onConfigure", update)
        chain(node, "onConnectionsChange", update)
        chain(node, "onAdded", () => {
            previews.add(preview)
            update()
        })
    },

    /** The user pressed R: a file may be new or changed. */
    refreshComboInNodes: updateAll,
})
