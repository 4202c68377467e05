// What Compare Videos shows: videos in step, beside each other or one over the other, under one control.

import { api } from "../../../scripts/api.js"
import { addStyle, element } from "./page.js"
import { Playback, clear, fit, readSheet } from "./sheets.js"

export const MIN_HEIGHT = 260
const GAP = 6 // pixels between two videos, as in the style sheet
const SIDE_BY_SIDE = "side by side"
const WIPE = "wipe"

const STYLE = `
.tav-compare { display: flex; flex-direction: column; gap: ${GAP}px; width: 100%; height: 100%; min-height: ${MIN_HEIGHT}px;
    box-sizing: border-box; padding: 6px; overflow: hidden; border-radius: 6px; outline: none;
    background: var(--comfy-input-bg); color: var(--input-text); font: 12px/1.4 sans-serif; }
.tav-compare:focus-visible { box-shadow: inset 0 0 0 1px var(--input-text); }
.tav-stage { flex: 1 1 0; min-height: 0; display: grid; grid-auto-rows: minmax(0, 1fr); gap: ${GAP}px; }
.tav-stage p { margin: auto; text-align: center; color: var(--descrip-text); }
.tav-stage figure { display: flex; flex-direction: column; min-width: 0; min-height: 0; margin: 0; }
.tav-stage canvas { flex: 1 1 0; min-height: 0; width: 100%; }
.tav-stage figcaption { display: flex; justify-content: space-between; gap: 12px; }
.tav-stage figcaption span { flex: 1; overflow: hidden; text-align: center; text-overflow: ellipsis; white-space: nowrap; }
.tav-stage .tav-wipe canvas { cursor: ew-resize; touch-action: none; }
.tav-stage .tav-wipe select:last-child { margin-left: auto; }
.tav-bar { display: flex; align-items: center; gap: 6px; }
.tav-bar input { flex: 1; min-width: 40px; margin: 0; accent-color: var(--input-text); }
.tav-bar output { font-variant-numeric: tabular-nums; white-space: nowrap; }
.tav-compare button, .tav-compare select { height: 22px; padding: 0 6px; border: 1px solid var(--border-color);
    border-radius: 4px; background: var(--comfy-menu-bg); color: inherit; font: inherit; cursor: pointer; }
.tav-compare select { max-width: 48%; }
.tav-compare button svg { display: block; width: 10px; height: 10px; fill: currentColor; }
.tav-compare button:hover, .tav-compare select:hover { border-color: var(--descrip-text); }
.tav-compare button:focus-visible, .tav-compare select:focus-visible { outline: 1px solid var(--input-text); }
`

const ICONS = {
    play: "M1 0 10 5 1 10Z",
    pause: "M1 0H4V10H1ZM6 0H9V10H6Z",
    back: "M0 0H2V10H0ZM10 0V10L3 5Z",
    next: "M10 0H8V10H10ZM0 0V10L7 5Z",
}
const icon = (name) => `<svg viewBox="0 0 10 10"><path d="${ICONS[name]}"/></svg>`

/** The panel of one node. What a person chose of its looks is kept in the node's `properties`. */
export class CompareView {
    constructor(properties) {
        addStyle("tav-compare-style", STYLE)
        this.properties = properties
        this.videos = []
        this.shown = ""
        this.wiped = 0.5
        this.stage = element("div.tav-stage")
        this.root = element("div.tav-compare", { tabindex: 0, onkeydown: (event) => this.key(event) }, this.stage, this.bar())
        this.root.addEventListener("pointerdown", ({ target }) => target.closest("button, input, select") ?? this.root.focus())
        this.playback = new Playback(this.stage, () => this.draw())
        this.say("Run the graph to see the videos here.")
    }

    bar() {
        const button = (name, title, onclick) => {
            const made = element("button", { type: "button", title, onclick })
            made.innerHTML = icon(name)
            return made
        }
        this.toggle = button("play", "Play or pause (space)", () => this.playback.play(!this.playback.playing))
        this.slider = element("input", { type: "range", min: 0, value: 0, title: "Frame", oninput: () => this.scrub() })
        this.count = element("output")
        this.mode = element("button", { type: "button", onclick: () => this.set({ view: this.other() }) })
        return element(
            "div.tav-bar",
            {},
            button("back", "One frame back (left arrow)", () => this.playback.step(-1)),
            this.toggle,
            button("next", "One frame on (right arrow)", () => this.playback.step(1)),
            this.slider,
            this.count,
            this.mode,
        )
    }

    other = () => (this.properties.view === WIPE ? SIDE_BY_SIDE : WIPE)

    scrub() {
        this.playback.playing = false
        this.playback.seek(Number(this.slider.value))
    }

    key(event) {
        const steps = { ArrowLeft: -1, ArrowRight: 1 }
        const ends = { Home: 0, End: Infinity }
        if (event.target.tagName === "SELECT" || event.ctrlKey || event.metaKey || event.altKey) return
        if (event.key in steps) this.playback.step(steps[event.key])
        else if (event.key in ends) this.playback.seek(ends[event.key])
        else if (event.key === " " && event.target.tagName !== "BUTTON") this.playback.play(!this.playback.playing)
        else return
        event.preventDefault()
        event.stopPropagation() // they mean other things to ComfyUI
    }

    /** Show the videos that the node told of, once they have come. */
    async show(told) {
        const key = JSON.stringify(told)
        if (key === this.shown) return
        this.shown = key
        try {
            const videos = await Promise.all(told.map(fetchVideo))
            if (this.shown === key) this.load(videos, told[0].fps)
            else release(videos)
        } catch {
            if (this.shown === key) this.say("These videos are no longer there: run the graph again.")
        }
    }

    load(videos, fps) {
        release(this.videos)
        this.videos = videos
        const count = Math.max(...videos.map(({ sheet }) => sheet.frames))
        this.slider.max = count - 1
        this.arrange()
        this.playback.load(count, fps)
    }

    say(message) {
        release(this.videos)
        this.stage.replaceChildren(element("p", {}, message))
        this.playback.load(0, 1)
    }

    /** Change what is kept in the properties. */
    set(values) {
        Object.assign(this.properties, values)
        this.arrange()
    }

    arrange() {
        if (!this.videos.length) return
        const wipes = this.properties.view === WIPE && this.videos.length > 1
        this.panels = wipes ? [this.wipePanel()] : this.videos.map((video) => this.panel(video))
        this.stage.replaceChildren(...this.panels.map(({ figure }) => figure))
        this.mode.textContent = wipes ? "Side by side" : "Wipe"
        this.mode.title = wipes ? "Show all videos beside each other" : "Lay two videos over each other"
        this.mode.hidden = this.videos.length < 2
        this.draw()
    }

    panel({ sheet, label }) {
        const canvas = element("canvas")
        const caption = element("figcaption", {}, element("span", { title: label }, label))
        const draw = (frame) => sheet.draw(clear(canvas), frame, fit(canvas, sheet.size))
        return { figure: element("figure", {}, caption, canvas), draw }
    }

    wipePanel() {
        const last = this.videos.length - 1
        const left = Math.min(this.properties.left ?? 0, last)
        const right = Math.min(this.properties.right ?? last, last)
        const choice = (side, chosen) => {
            const onchange = ({ target }) => this.set({ [side]: target.selectedIndex })
            const title = `The video on the ${side}`
            const select = element("select", { onchange, title }, ...this.videos.map(({ label }) => element("option", {}, label)))
            select.selectedIndex = chosen
            return select
        }
        const canvas = element("canvas")
        const [over, under] = [this.videos[left].sheet, this.videos[right].sheet]
        const draw = (frame) => {
            const context = clear(canvas)
            const box = fit(canvas, under.size)
            under.draw(context, frame, box)
            over.draw(context, frame, box, this.wiped)
            drawDivider(context, box, this.wiped)
        }
        const wipe = (event) => {
            const box = fit(canvas, under.size)
            const shown = canvas.getBoundingClientRect()
            const at = ((event.clientX - shown.left) / shown.width) * canvas.width
            this.wiped = Math.min(Math.max((at - box.x) / box.width, 0), 1)
            this.draw()
        }
        canvas.addEventListener("pointerdown", (event) => {
            if (event.button !== 0) return
            canvas.setPointerCapture(event.pointerId)
            wipe(event)
        })
        canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && wipe(event))
        const caption = element("figcaption", {}, choice("left", left), choice("right", right))
        return { figure: element("figure.tav-wipe", {}, caption, canvas), draw }
    }

    draw() {
        const { frame, count, playing } = this.playback
        this.slider.disabled = count < 2
        this.slider.value = frame
        this.count.textContent = count ? `${frame + 1} / ${count}` : ""
        if (this.toggle.dataset.playing !== String(playing)) {
            this.toggle.dataset.playing = playing
            this.toggle.innerHTML = icon(playing ? "pause" : "play")
        }
        if (!count) return
        const columns = bestColumns(this.panels.length, this.stage, this.videos[0].sheet.size)
        this.stage.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`
        for (const panel of this.panels) panel.draw(frame)
    }

    end() {
        this.shown = ""
        this.playback.end()
        release(this.videos)
    }
}

async function fetchVideo({ filename, subfolder, type, label, size, sheet }) {
    const response = await api.fetchApi(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
    if (!response.ok) throw new Error(response.statusText)
    return { label, sheet: await readSheet(response, sheet, size) }
}

function release(videos) {
    for (const { sheet } of videos.splice(0)) sheet.bitmap.close()
}

/** A line between the two videos, with a handle. */
function drawDivider(context, { x, y, width, height }, part) {
    const at = x + width * part
    const unit = devicePixelRatio
    context.fillStyle = context.strokeStyle = "#fff"
    context.shadowColor = "#000"
    context.shadowBlur = 3 * unit
    context.fillRect(at - unit, y, 2 * unit, height)
    context.beginPath()
    context.arc(at, y + height / 2, 6 * unit, 0, 2 * Math.PI)
    context.fill()
    context.shadowBlur = 0
}

/** In how many columns videos of a shape are largest. */
function bestColumns(count, { clientWidth, clientHeight }, [width, height]) {
    const CAPTION = 18
    let best = { columns: 1, scale: 0 }
    for (let columns = 1; columns <= count; columns++) {
        const rows = Math.ceil(count / columns)
        const across = (clientWidth - GAP * (columns - 1)) / columns / width
        const down = ((clientHeight - GAP * (rows - 1)) / rows - CAPTION) / height
        const scale = Math.min(across, down)
        if (scale > best.scale) best = { columns, scale }
    }
    return best.columns
}
