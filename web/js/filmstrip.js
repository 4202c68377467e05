// The previews of a tuning as a filmstrip; a click shows one large.

import { api } from "../../../scripts/api.js"
import { h } from "./dom.js"
import { t } from "./i18n.js"

export const FILM_HEIGHT = 76
const ARROWS = { ArrowLeft: -1, ArrowRight: 1 }

export const FILM_STYLE = `
.tav-film { display: flex; flex: none; gap: 6px; height: ${FILM_HEIGHT}px; overflow-x: auto; overflow-y: hidden;
    scrollbar-width: thin; scrollbar-color: var(--descrip-text) transparent; align-items: flex-start; }
.tav-film p { margin: auto; color: var(--descrip-text); text-align: center; }
.tav-film button { flex: none; padding: 0; border: 0; outline: none; background: none; color: var(--descrip-text); cursor: zoom-in;
    font: 10px/14px sans-serif; }
.tav-film img { display: block; height: 54px; min-width: 30px; border-radius: 4px; background: var(--comfy-menu-bg); }
.tav-film button:hover, .tav-film button:focus-visible { color: var(--input-text); }
.tav-film button:hover img, .tav-film button:focus-visible img { outline: 2px solid var(--tav-accent);
    outline-offset: -2px; }
.tav-large { padding: 12px; outline: none; border: 1px solid var(--border-color); border-radius: 8px; max-width: 95vw;
    background: var(--comfy-menu-bg); color: var(--input-text); font: 13px/1.4 sans-serif; }
.tav-large::backdrop { background: rgb(0 0 0 / 60%); }
.tav-large img { display: block; width: min(80vw, 80vh, 640px); border-radius: 4px; }
.tav-large div { display: flex; justify-content: space-between; align-items: center; margin-top: 10px; gap: 10px; }
.tav-large button { min-width: 32px; padding: 4px 10px; border: 1px solid var(--border-color); border-radius: 6px;
    background: var(--comfy-input-bg); color: inherit; font: inherit; cursor: pointer; }
.tav-large button[aria-disabled="true"] { opacity: 0.4; cursor: default; }
`

function fileUrl({ filename, subfolder, type }) {
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

export class Filmstrip {
    constructor() {
        this.root = h("div.tav-film", { "aria-label": t("Previews") })
        this.root.addEventListener("wheel", (event) => this.scroll(event), { passive: false })
        this.show([], 0)
    }

    /** Show previews (their steps and files), or that one will appear every so many steps. */
    show(previews, every) {
        this.previews = previews
        const shown = previews.map(({ filename }) => filename).join() || every
        if (shown === this.shown) return
        this.shown = shown
        const before = new Map([...this.root.querySelectorAll("button")].map((frame) => [frame.dataset.file, frame]))
        const frames = previews.map((preview) => before.get(preview.filename) ?? this.frame(preview))
        const atEnd = this.root.scrollLeft + this.root.clientWidth >= this.root.scrollWidth - 20
        if (frames.length) this.root.replaceChildren(...frames)
        else this.root.replaceChildren(h("p", {}, t("A preview appears here every {every} steps.", { every })))
        if (atEnd) this.root.scrollLeft = this.root.scrollWidth
    }

    frame(preview) {
        const alt = t("Preview after step {step}", preview)
        const title = t("Preview after step {step}: click to enlarge", preview)
        const open = () => this.open(this.previews.findIndex((it) => it.filename === preview.filename))
        const picture = { src: fileUrl(preview), alt, loading: "lazy", decoding: "async", draggable: "false" }
        const button = { type: "button", title, "data-file": preview.filename, onclick: open }
        return h("button", button, h("img", picture), String(preview.step))
    }

    /** Scroll the strip with the wheel if it overflows; else leave the wheel to the canvas. */
    scroll(event) {
        if (this.root.scrollWidth <= this.root.clientWidth) return
        event.stopPropagation()
        event.preventDefault()
        this.root.scrollLeft += event.deltaX || event.deltaY
    }

    /** Enlarge one preview; the arrow keys go to the next. */
    open(index) {
        const picture = h("img")
        const caption = h("span")
        const step = (by) => () => turn(index + by)
        const back = h("button", { type: "button", "aria-label": t("previous"), onclick: step(-1) }, "‹")
        const on = h("button", { type: "button", "aria-label": t("next"), onclick: step(1) }, "›")
        const dialog = h("dialog.tav-large", { tabindex: -1 }, picture, h("div", {}, back, caption, on))
        const turn = (to) => {
            if (!this.previews[to]) return
            index = to
            picture.src = fileUrl(this.previews[to])
            picture.alt = caption.textContent = t("after step {step}", this.previews[to])
            // not `disabled`: such a button loses the focus, and with it the arrow keys
            back.ariaDisabled = to === 0
            on.ariaDisabled = to === this.previews.length - 1
        }
        dialog.addEventListener("keydown", (event) => {
            event.stopPropagation() // ComfyUI has keys of its own
            if (event.key in ARROWS) turn(index + ARROWS[event.key])
        })
        dialog.addEventListener("click", (event) => event.target === dialog && dialog.close())
        dialog.addEventListener("close", () => dialog.remove())
        turn(index)
        document.body.append(dialog)
        dialog.showModal()
    }
}
