// The panel of Compare Videos: videos in step, side by side or one over the other, under one control.

import { api } from "../../../scripts/api.js"
import { addStyle, h } from "./dom.js"
import { t } from "./i18n.js"
import { Playback, clear, fit, readSpriteSheet, rowHeight } from "./player.js"
import { BAR_STYLE, PlayerBar } from "./player_bar.js"

export const MIN_HEIGHT = 280
const GAP = 6 // pixels between two videos
const CAPTION = 24 // pixels above a video
const LEAST_WIDTH = 64 // pixels for its caption
const SIDE_BY_SIDE = "side by side"
const WIPE = "wipe"

const STYLE = `
.tav-compare { display: flex; flex-direction: column; gap: ${GAP}px; outline: none; }
.tav-compare:focus-visible { box-shadow: inset 0 0 0 1px var(--input-text); }
.tav-stage { flex: 1 1 0; min-height: 0; display: flex; flex-wrap: wrap; gap: ${GAP}px; place-content: center; }
.tav-stage p { margin: 0; text-align: center; color: var(--descrip-text); }
.tav-stage figure { margin: 0; overflow: hidden; }
.tav-stage canvas { display: block; margin: 0 auto; }
.tav-stage figcaption { display: flex; align-items: center; gap: 6px; height: ${CAPTION}px; }
.tav-stage figcaption span { flex: 1; overflow: hidden; text-align: center; text-overflow: ellipsis;
    white-space: nowrap; }
.tav-stage .tav-wipe canvas { cursor: ew-resize; touch-action: none; }
.tav-stage figcaption select { flex: 1 1 0; min-width: 0; }
.tav-compare:not(:has(canvas)) .tav-bar { visibility: hidden; }
${BAR_STYLE}`

/** The panel of one node. Its settings are kept in the node's `properties`. */
export class CompareView {
    constructor(properties) {
        addStyle("tav-compare-style", STYLE)
        this.properties = properties
        this.videos = []
        this.shown = ""
        this.wiped = 0.5
        this.stage = h("div.tav-stage")
        const onkeydown = (event) => this.key(event)
        const onpointerdown = ({ target }) => target.closest("button, input, select") ?? this.root.focus()
        this.root = h("div.tav-compare", { tabindex: 0, onkeydown, onpointerdown }, this.stage)
        this.playback = new Playback(
            this.stage,
            () => this.draw(),
            () => this.layout(),
        )
        this.mode = h("button", { type: "button", onclick: () => this.set({ view: this.other() }) })
        this.bar = new PlayerBar(this.playback, this.root, (frame) => this.picture(frame), this.mode)
        this.root.append(this.bar.root)
        this.showText("Run the graph to see the videos here.")
    }

    other = () => (this.properties.view === WIPE ? SIDE_BY_SIDE : WIPE)

    key(event) {
        const { tagName } = event.target
        if (tagName === "SELECT" || (event.key === " " && tagName === "BUTTON")) return
        const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key]
        if (!event.shiftKey || !by) return this.playback.key(event)
        this.wipe(this.wiped + by)
        event.preventDefault()
        event.stopPropagation()
    }

    /** Put the divider at a fraction of the width. */
    wipe(share) {
        this.wiped = Math.min(Math.max(share, 0), 1)
        this.draw()
    }

    /** Fetch and show the videos of a run. */
    async show(files) {
        const key = JSON.stringify(files)
        if (key === this.shown) return
        this.shown = key
        try {
            const videos = await Promise.all(files.map(fetchVideo))
            if (this.shown === key) this.load(videos, files[0].fps)
            else release(videos)
        } catch {
            if (this.shown === key) this.showText("These videos are no longer there: run the graph again.")
        }
    }

    load(videos, fps) {
        release(this.videos)
        this.videos = videos
        const count = Math.max(...videos.map(({ sheet }) => sheet.frames))
        this.arrange()
        this.playback.load(count, fps)
    }

    /** Show a sentence in place of videos. */
    showText(message) {
        release(this.videos)
        this.stage.replaceChildren(h("p", {}, t(message)))
        this.playback.load(0, 1)
    }

    /** Change settings. */
    set(values) {
        Object.assign(this.properties, values)
        this.arrange()
    }

    /** Put the videos on the stage as the settings ask for. */
    arrange() {
        if (!this.videos.length) return
        const wipes = this.properties.view === WIPE && this.videos.length > 1
        this.panels = wipes ? [this.wipePanel()] : this.videos.map((video) => this.panel(video))
        this.stage.replaceChildren(...this.panels.map(({ figure }) => figure))
        this.mode.textContent = t(wipes ? "Side by side" : "Wipe")
        this.mode.title = t(wipes ? "Show all videos beside each other" : "Lay two videos over each other")
        this.mode.hidden = this.videos.length < 2
        this.layout()
    }

    /** Make the videos as large as the stage allows, all of one height. */
    layout() {
        if (!this.videos.length) return
        const shapes = this.panels.map(({ shape }) => shape)
        const height = rowHeight(shapes, this.stage, GAP, CAPTION, LEAST_WIDTH)
        for (const { canvas, figure, shape } of this.panels) {
            const width = Math.floor(height * shape) // fractions of pixels could break a row that is just full
            canvas.style.height = `${height}px`
            canvas.style.width = `${width}px`
            figure.style.width = `${Math.max(width, LEAST_WIDTH)}px`
        }
        this.draw()
    }

    panel({ sheet, label }) {
        const canvas = h("canvas")
        const caption = h("figcaption", {}, h("span", { title: label }, label))
        const draw = (frame) => sheet.draw(clear(canvas), frame, canvas)
        return { figure: h("figure", {}, caption, canvas), canvas, shape: sheet.size[0] / sheet.size[1], draw }
    }

    wipePanel() {
        const last = this.videos.length - 1
        const left = Math.min(this.properties.left ?? 0, last)
        const right = Math.min(this.properties.right ?? last, last)
        const [over, under] = [this.videos[left].sheet, this.videos[right].sheet]
        const canvas = h("canvas")
        const draw = (frame) => {
            const context = clear(canvas)
            const divider = canvas.width * this.wiped
            drawWithin(context, 0, divider, () => over.draw(context, frame, fit(canvas, over.size)))
            drawWithin(context, divider, canvas.width, () => under.draw(context, frame, fit(canvas, under.size)))
            drawDivider(context, canvas, divider)
        }
        canvas.title = t("Drag the divider, or move it with Shift and the arrow keys")
        const wipe = ({ clientX }) => {
            const { left, width } = canvas.getBoundingClientRect()
            this.wipe((clientX - left) / width)
        }
        canvas.addEventListener("pointerdown", (event) => {
            if (event.button !== 0) return
            canvas.setPointerCapture(event.pointerId)
            wipe(event)
        })
        canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && wipe(event))
        const caption = h("figcaption", {}, this.choice("left", left), this.choice("right", right))
        const figure = h("figure.tav-wipe", {}, caption, canvas)
        const shape = Math.max(...[over, under].map(({ size }) => size[0] / size[1]))
        return { figure, canvas, shape, draw }
    }

    /** Create the choice of the video on one side of the wipe. */
    choice(side, chosen) {
        const title = t(`The video on the ${side}`)
        const onchange = ({ target }) => {
            this.set({ [side]: target.selectedIndex })
            this.stage.querySelector(`[title="${title}"]`).focus() // it is a new one
        }
        const options = this.videos.map(({ label }) => h("option", {}, label))
        const select = h("select", { onchange, title }, ...options)
        select.selectedIndex = chosen
        return select
    }

    draw() {
        const { frame, count } = this.playback
        this.bar.update()
        if (count) for (const panel of this.panels) panel.draw(frame)
    }

    /** Draw a frame of all videos side by side, as large as the videos are. */
    picture(frame) {
        const height = Math.max(...this.videos.map(({ sheet }) => sheet.size[1]))
        const widths = this.videos.map(({ sheet }) => Math.round((sheet.size[0] * height) / sheet.size[1]))
        const canvas = h("canvas", { width: widths.reduce((sum, width) => sum + width), height })
        let x = 0
        this.videos.forEach(({ sheet }, i) => {
            sheet.draw(canvas.getContext("2d"), frame, { x, width: widths[i], height })
            x += widths[i]
        })
        return canvas
    }

    destroy() {
        this.shown = ""
        this.playback.destroy()
        release(this.videos)
    }
}

async function fetchVideo({ filename, subfolder, type, label, size, sheet }) {
    const response = await api.fetchApi(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
    if (!response.ok) throw new Error(response.statusText)
    return { label, sheet: await readSpriteSheet(response, sheet, size) }
}

function release(videos) {
    for (const { sheet } of videos.splice(0)) sheet.bitmap.close()
}

/** Draw, clipped to the part of a canvas between two horizontal positions. */
function drawWithin(context, left, right, draw) {
    context.save()
    context.beginPath()
    context.rect(left, 0, right - left, context.canvas.height)
    context.clip()
    draw()
    context.restore()
}

/** Draw a line between the two videos, with a handle. */
function drawDivider(context, { height }, x) {
    const unit = devicePixelRatio
    context.fillStyle = "#fff"
    context.shadowColor = "#000"
    context.shadowBlur = 3 * unit
    context.fillRect(x - unit, 0, 2 * unit, height)
    context.beginPath()
    context.arc(x, height / 2, 6 * unit, 0, 2 * Math.PI)
    context.fill()
    context.shadowBlur = 0
}
