// The previews of a tuning as a filmstrip; a click shows one large.

import { api } from "../../../scripts/api.js"
import { element } from "./page.js"
import { say } from "./words.js"

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
.tav-large button:disabled { opacity: 0.4; cursor: default; }
`

function address({ filename, subfolder, type }) {
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

export class Filmstrip {
    constructor() {
        this.root = element("div.tav-film", { "aria-label": say("Previews") })
        this.root.addEventListener("wheel", (event) => this.scroll(event), { passive: false })
        this.show([], 0)
    }

    /** Show previews (their steps and files), or what will come: one every so many steps. */
    show(previews, every) {
        this.previews = previews
        const shown = previews.map(({ filename }) => filename).join() || every
        if (shown === this.shown) return
        this.shown = shown
        const before = new Map([...this.root.querySelectorAll("button")].map((frame) => [frame.dataset.file, frame]))
        const frames = previews.map((preview) => before.get(preview.filename) ?? this.frame(preview))
        const atEnd = this.root.scrollLeft + this.root.clientWidth >= this.root.scrollWidth - 20
        if (frames.length) this.root.replaceChildren(...frames)
        else this.root.replaceChildren(element("p", {}, say("A preview appears here every {every} steps.", { every })))
        if (atEnd) this.root.scrollLeft = this.root.scrollWidth
    }

    frame(preview) {
        const alt = say("Preview after step {step}", preview)
        const title = say("Preview after step {step}: click to enlarge", preview)
        const open = () => this.open(this.previews.findIndex((it) => it.filename === preview.filename))
        const picture = { src: address(preview), alt, loading: "lazy", decoding: "async", draggable: "false" }
        const button = { type: "button", title, "data-file": preview.filename, onclick: open }
        return element("button", button, element("img", picture), String(preview.step))
    }

    /** The wheel moves the strip where there is more of it than fits; elsewhere it is the canvas's. */
    scroll(event) {
        if (this.root.scrollWidth <= this.root.clientWidth) return
        event.stopPropagation()
        event.preventDefault()
        this.root.scrollLeft += event.deltaX || event.deltaY
    }

    /** Show one preview large; arrow keys go on from it. */
    open(index) {
        const picture = element("img")
        const caption = element("span")
        const step = (by) => () => turn(index + by)
        const back = element("button", { type: "button", "aria-label": say("previous"), onclick: step(-1) }, "‹")
        const on = element("button", { type: "button", "aria-label": say("next"), onclick: step(1) }, "›")
        const dialog = element("dialog.tav-large", { tabindex: -1 }, picture, element("div", {}, back, caption, on))
        const turn = (to) => {
            if (!this.previews[to]) return
            index = to
            picture.src = address(this.previews[to])
            picture.alt = caption.textContent = say("after step {step}", this.previews[to])
            back.disabled = to === 0
            on.disabled = to === this.previews.length - 1
            if (document.activeElement.disabled) dialog.focus() // a disabled button hears no keys
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
