// The loss of a tuning as a curve: raw losses faint, the validation loss (or without one, the running mean) strong.

import { h } from "./dom.js"
import { t } from "./i18n.js"

const SVG = "http://www.w3.org/2000/svg"
const LEFT = 40, RIGHT = 10, TOP = 8, BOTTOM = 18 // room for the labels, in pixels
const LABELS_Y = 3

export const CURVE_STYLE = `
.tav-curve { position: relative; flex: 1 1 0; min-height: 60px; }
.tav-curve svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.tav-curve text { fill: var(--descrip-text); font: 10px sans-serif; }
.tav-curve .tav-grid { stroke: var(--descrip-text); stroke-opacity: 0.25; }
.tav-curve .tav-raw { fill: none; stroke: var(--tav-accent); stroke-linejoin: round; }
.tav-curve .tav-raw { stroke-opacity: 0.35; }
.tav-curve .tav-strong { fill: none; stroke: var(--tav-accent); stroke-width: 2; stroke-linejoin: round; }
.tav-curve .tav-kept { stroke: var(--descrip-text); stroke-dasharray: 2 3; }
.tav-curve .tav-preview { fill: var(--descrip-text); }
.tav-curve .tav-pointer { stroke: var(--input-text); stroke-opacity: 0.5; }
.tav-curve .tav-dot { fill: var(--tav-accent); }
.tav-curve .tav-tip { position: absolute; top: 0; padding: 2px 6px; border-radius: 4px; white-space: nowrap;
    pointer-events: none; background: var(--comfy-menu-bg); color: var(--input-text);
    border: 1px solid var(--border-color); font-size: 11px; }
`

/** Format a number for a label: three significant digits. */
export const short = (value) => String(Number(value.toPrecision(3)))

function shape(tag, attributes, parent) {
    const made = document.createElementNS(SVG, tag)
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
    parent.append(made)
    return made
}

/** Return the mean around each value over a fifth of all, as in the node's loss_plot. */
export function runningMean(values) {
    const reach = Math.max(1, Math.floor(values.length / 10))
    const sums = [0]
    for (const value of values) sums.push(sums.at(-1) + value)
    return values.map((_, i) => {
        const first = Math.max(0, i - reach), end = Math.min(values.length, i + reach + 1)
        return (sums[end] - sums[first]) / (end - first)
    })
}

const highest = (values) => values.reduce((a, b) => Math.max(a, b))

/** Return indices of the values to draw: all, or if there are too many, the lowest and highest of each column. */
function drawnIndices(values, columns) {
    if (values.length <= 2 * columns) return values.map((_, i) => i)
    const chosen = []
    for (let column = 0; column < columns; column++) {
        const first = Math.floor((column * values.length) / columns)
        const end = Math.floor(((column + 1) * values.length) / columns)
        let low = first, high = first
        for (let i = first; i < end; i++) {
            if (values[i] < values[low]) low = i
            if (values[i] > values[high]) high = i
        }
        chosen.push(Math.min(low, high), Math.max(low, high))
    }
    return chosen
}

export class LossCurve {
    constructor() {
        this.svg = document.createElementNS(SVG, "svg")
        this.svg.setAttribute("role", "img")
        this.tip = h("div.tav-tip", { hidden: "" })
        this.losses = [] // as drawn: the run may have more by now, or be another
        this.root = h("div.tav-curve", {}, this.svg, this.tip)
        this.root.addEventListener("pointermove", (event) => this.point(event))
        this.root.addEventListener("pointerleave", () => this.point(null))
        this.sizes = new ResizeObserver(() => this.draw())
        this.sizes.observe(this.root)
        this.show(null)
    }

    /** Show a run (see Run.summary() of the server), or nothing. */
    show(run) {
        this.run = run
        this.frameRequest ??= requestAnimationFrame(() => {
            this.frameRequest = null
            this.draw()
        })
    }

    draw() {
        const { clientWidth: width, clientHeight: height } = this.root
        if (!width || !height) return // collapsed, or off the screen
        this.svg.replaceChildren()
        this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
        const losses = (this.losses = this.run?.losses.slice() ?? [])
        this.svg.setAttribute("aria-label", t("Loss of {steps} steps", { steps: losses.length }))
        this.tip.hidden = !this.pointed || !losses.length
        if (!losses.length) return
        this.means = runningMean(losses)
        this.last = this.run.state === "running" ? this.run.steps : losses.length
        this.area = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM, bottom: height - BOTTOM }
        const pairs = (values) => drawnIndices(values, Math.ceil(this.area.width)).map((i) => [i + 1, values[i]])
        const validated = this.run.validation?.length > 0
        const strong = validated ? this.run.validation : pairs(this.means)
        this.first = Math.min(1, strong[0][0]) // the untuned model is step 0
        // single steps far above the rest are cut off, so that the course of the strong line is visible
        const cut = Math.min(highest(losses), 2 * highest(this.means))
        this.highest = Math.max(cut, highest(strong.map(([, loss]) => loss))) * 1.05 || 1
        this.drawFrame(width)
        this.drawLine("tav-raw", pairs(losses))
        this.drawLine("tav-strong", strong)
        for (const [step, loss] of validated ? strong : strong.slice(-1)) {
            shape("circle", { class: "tav-dot", cx: this.x(step), cy: this.y(loss), r: 3 }, this.svg)
        }
        this.pointer = shape("g", {}, this.svg)
        if (this.pointed) this.drawPointer()
    }

    x = (step) => LEFT + (this.area.width * (step - this.first)) / Math.max(1, this.last - this.first)
    y = (loss) => this.area.bottom - this.area.height * Math.min(1, loss / this.highest)

    drawFrame(width) {
        for (let i = 0; i < LABELS_Y; i++) {
            const loss = (this.highest * i) / (LABELS_Y - 1), y = this.y(loss)
            shape("line", { class: "tav-grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }, this.svg)
            this.label(LEFT - 5, y + 3.5, "end", Number(loss.toPrecision(2)))
        }
        for (const step of new Set([this.first, Math.ceil(this.last / 2), this.last])) {
            const anchor = step === this.first ? "start" : step === this.last ? "end" : "middle"
            this.label(this.x(step), this.area.bottom + 13, anchor, step)
        }
        const kept = this.run.continued_from
        if (kept > 1 && kept < this.run.losses.length) {
            const x = this.x(kept)
            shape("line", { class: "tav-kept", x1: x, x2: x, y1: TOP, y2: this.area.bottom }, this.svg)
        }
        for (const { step } of this.run.previews.filter(({ step }) => step !== null)) {
            const x = this.x(step), y = this.area.bottom
            shape("path", { class: "tav-preview", d: `M${x} ${y - 4}L${x - 3} ${y + 2}L${x + 3} ${y + 2}Z` }, this.svg)
        }
    }

    label(x, y, anchor, text) {
        shape("text", { x, y, "text-anchor": anchor }, this.svg).textContent = text
    }

    /** Draw a line through (step, loss) pairs. */
    drawLine(name, pairs) {
        const points = pairs.map(([step, loss]) => `${this.x(step).toFixed(1)} ${this.y(loss).toFixed(1)}`)
        shape("path", { class: name, d: `M${points.join("L")}` }, this.svg)
    }

    /** Show the values under the mouse; null when it has left the curve. */
    point(event) {
        const steps = this.losses.length
        this.pointed = null
        if (event && steps && this.area) {
            const box = this.svg.getBoundingClientRect() // in pixels of the screen: the canvas may be zoomed
            const x = ((event.clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width
            const step = Math.round(this.first + ((x - LEFT) / this.area.width) * (this.last - this.first))
            this.pointed = Math.min(Math.max(step, 1), steps)
        }
        this.pointer?.replaceChildren()
        this.tip.hidden = !this.pointed
        if (this.pointed) this.drawPointer()
    }

    drawPointer() {
        const step = Math.min(this.pointed, this.losses.length)
        const loss = this.losses[step - 1], mean = this.means[step - 1]
        const x = this.x(step)
        shape("line", { class: "tav-pointer", x1: x, x2: x, y1: TOP, y2: this.area.bottom }, this.pointer)
        shape("circle", { class: "tav-dot", cx: x, cy: this.y(loss), r: 3 }, this.pointer)
        const validation = this.run.validation?.findLast(([at]) => at <= step)
        const values = { step, loss: short(loss), mean: short(mean), validation: short(validation?.[1] ?? 0) }
        this.tip.textContent = validation
            ? t("step {step} · loss {loss} · validation {validation}", values)
            : t("step {step} · loss {loss} · mean {mean}", values)
        const room = this.root.clientWidth - this.tip.offsetWidth
        this.tip.style.left = `${Math.max(0, Math.min(room, x - this.tip.offsetWidth / 2))}px`
    }

    destroy() {
        this.sizes.disconnect()
        cancelAnimationFrame(this.frameRequest)
    }
}
