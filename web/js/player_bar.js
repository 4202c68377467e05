// The bar below a player: play, scrub, speed, loop, save, full screen.

import { app } from "../../../scripts/app.js"
import { h } from "./dom.js"
import { chain } from "./graph.js"
import { t } from "./i18n.js"
import { MODES } from "./player.js"

const SPEEDS = [0.25, 0.5, 1, 2, 4]

export const BAR_STYLE = `
.tav-bar { display: flex; flex: none; flex-wrap: wrap; align-items: center; gap: 4px; }
.tav-bar input { flex: 1; min-width: 60px; margin: 0; accent-color: var(--input-text); }
.tav-bar output { font-variant-numeric: tabular-nums; white-space: nowrap; }
.tav-bar button svg { display: block; width: 10px; height: 10px; fill: currentColor; }
.tav-panel:fullscreen { min-height: 0 !important; border-radius: 0; font-size: 16px; }
`

const ICONS = {
    play: "M1 0 10 5 1 10Z",
    pause: "M1 0H4V10H1ZM6 0H9V10H6Z",
    back: "M0 0H2V10H0ZM10 0V10L3 5Z",
    next: "M10 0H8V10H10ZM0 0V10L7 5Z",
    loop: "M2 3H8V1L10 4 8 6V4H3V6H2ZM8 7H2V9L0 6 2 4V6H7V4H8Z",
    "ping-pong": "M0 5 3 2V4H7V2L10 5 7 8V6H3V8Z",
    once: "M0 4H6V1L9 5 6 9V6H0ZM9 1H10V9H9Z",
    frame: "M0 1H10V9H0ZM1 2V7L3 5 5 7 7 4 9 6V2Z",
    video: "M4 0H6V5H9L5 9 1 5H4Z",
    full: "M0 0H4V1H1V4H0ZM6 0H10V4H9V1H6ZM0 6H1V9H4V10H0ZM9 6H10V10H6V9H9Z",
    start: "M2 0H5V1H3V9H5V10H2ZM6 3 9 5 6 7Z",
    end: "M8 0H5V1H7V9H5V10H8ZM4 3 1 5 4 7Z",
}
const TITLES = { loop: "Loop", "ping-pong": "Forwards and backwards", once: "Play once" }

/** Draw an icon on a button. */
function draw(button, icon) {
    if (button.dataset.icon === icon) return
    button.dataset.icon = icon
    button.innerHTML = `<svg viewBox="0 0 10 10"><path d="${ICONS[icon]}"/></svg>`
}

/** Create a button with an icon. */
export function iconButton(icon, title, onclick) {
    const button = h("button", { type: "button", title, "aria-label": title, onclick })
    draw(button, icon)
    return button
}

export class PlayerBar {
    /**
     * @param playback see player.js
     * @param panel the element that full screen shows
     * @param picture draws a frame of the video on a canvas of its own size, and returns that
     * @param extra further elements at the end
     */
    constructor(playback, panel, picture, ...extra) {
        Object.assign(this, { playback, panel, picture })
        this.toggle = iconButton("play", t("Play or pause (space)"), () => playback.play(!playback.playing))
        const oninput = () => {
            playback.playing = false
            playback.seek(Number(this.slider.value))
        }
        this.slider = h("input", { type: "range", min: 0, value: 0, title: t("Frame"), oninput })
        this.count = h("output")
        const onchange = () => playback.set({ speed: SPEEDS[this.speed.selectedIndex] })
        const speeds = SPEEDS.map((speed) => h("option", {}, `${speed}×`))
        this.speed = h("select", { title: t("Speed"), onchange }, ...speeds)
        this.speed.selectedIndex = SPEEDS.indexOf(1)
        const next = () => playback.set({ mode: MODES[(MODES.indexOf(playback.mode) + 1) % MODES.length] })
        this.mode = iconButton("loop", "", next)
        this.root = h(
            "div.tav-bar",
            {},
            iconButton("back", t("One frame back (left arrow)"), () => playback.step(-1)),
            this.toggle,
            iconButton("next", t("One frame on (right arrow)"), () => playback.step(1)),
            this.slider,
            this.count,
            this.speed,
            this.mode,
            ...this.actions().map(({ icon, title, run }) => iconButton(icon, title, run)),
            ...extra,
        )
    }

    actions() {
        return [
            { icon: "frame", title: t("Save this frame"), run: () => this.saveFrame() },
            { icon: "video", title: t("Save as a video"), run: () => this.saveVideo() },
            { icon: "full", title: t("Full screen"), run: () => this.fullScreen() },
        ]
    }

    /** Offer the same in the node's context menu, with what ComfyUI has there for a picture; the player opens it, too. */
    addToMenu(node) {
        const open = { title: t("Open this frame"), run: () => this.openFrame() }
        const copy = { title: t("Copy this frame"), run: () => this.copyFrame() }
        chain(node, "getExtraMenuOptions", (_, options) => {
            if (!this.playback.count) return
            const actions = [open, copy, ...this.actions()]
            options.unshift(...actions.map(({ title, run }) => ({ content: title, callback: run })), null)
        })
        this.panel.addEventListener("contextmenu", (event) => {
            if (LiteGraph.vueNodesMode) return // the node has it
            event.preventDefault()
            app.canvas.processContextMenu(node, event)
        })
    }

    update() {
        const { frame, count, playing, mode } = this.playback
        this.slider.max = Math.max(0, count - 1)
        this.slider.disabled = count < 2
        this.slider.value = frame
        this.count.textContent = count ? `${frame + 1} / ${count}` : ""
        draw(this.toggle, playing ? "pause" : "play")
        draw(this.mode, mode)
        this.mode.title = this.mode.ariaLabel = t(TITLES[mode])
    }

    fullScreen() {
        if (document.fullscreenElement) document.exitFullscreen()
        else this.panel.requestFullscreen()
    }

    /** Return the frame in sight as a PNG. */
    png() {
        return new Promise((resolve) => this.picture(this.playback.frame).toBlob(resolve))
    }

    async openFrame() {
        open(URL.createObjectURL(await this.png()), "_blank")
    }

    copyFrame() {
        navigator.clipboard.write([new ClipboardItem({ "image/png": this.png() })])
    }

    async saveFrame() {
        const number = String(this.playback.frame + 1).padStart(4, "0")
        download(await this.png(), `frame_${number}.png`)
    }

    /** Record all frames, in as long as they take to play. */
    async saveVideo() {
        const { count, fps } = this.playback
        const canvas = this.picture(0), context = canvas.getContext("2d")
        const recorder = new MediaRecorder(canvas.captureStream(), { videoBitsPerSecond: 16e6 })
        const parts = []
        recorder.ondataavailable = ({ data }) => parts.push(data)
        const stopped = new Promise((resolve) => (recorder.onstop = resolve))
        recorder.start()
        for (let frame = 0; frame < count; frame++) {
            context.drawImage(this.picture(frame), 0, 0)
            await new Promise((resolve) => setTimeout(resolve, 1000 / fps))
        }
        recorder.stop()
        await stopped
        const ending = recorder.mimeType.includes("mp4") ? "mp4" : "webm"
        download(new Blob(parts, { type: recorder.mimeType }), `video.${ending}`)
    }
}

function download(blob, name) {
    const href = URL.createObjectURL(blob)
    h("a", { href, download: name }).click()
    setTimeout(() => URL.revokeObjectURL(href), 60_000)
}
