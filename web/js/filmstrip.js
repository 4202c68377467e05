// The previews of a tuning: the clip and the newest large, beside them all as a filmstrip; a click plays one.

import { api } from "../../../scripts/api.js"
import { CompareView } from "./compare_view.js"
import { h } from "./dom.js"
import { t } from "./i18n.js"

export const FILM_HEIGHT = 132
const ARROWS = { ArrowUp: -1, ArrowDown: 1 }

export const FILM_STYLE = `
.tav-film { display: flex; flex: none; gap: 8px; height: ${FILM_HEIGHT}px; }
.tav-film p { margin: auto; color: var(--descrip-text); text-align: center; }
.tav-film .tav-strip { flex: 1; min-width: 0; display: flex; flex-wrap: wrap; align-content: flex-start; gap: 4px 6px;
    overflow-y: auto; scrollbar-width: thin; scrollbar-color: var(--descrip-text) transparent; }
.tav-tune .tav-film button { flex: none; height: auto; padding: 0; border: 0; outline: none; background: none;
    color: var(--descrip-text); cursor: zoom-in; font: 10px/13px sans-serif; }
.tav-film img { display: block; height: 48px; min-width: 30px; border-radius: 4px; background: var(--comfy-menu-bg); }
.tav-film .tav-big { max-width: 36%; }
.tav-film .tav-big img { height: ${FILM_HEIGHT - 14}px; max-width: 100%; object-fit: contain; }
.tav-tune .tav-film button:is(:hover, :focus-visible) { color: var(--input-text); }
.tav-film button:hover img, .tav-film button:focus-visible img { outline: 2px solid var(--tav-accent);
    outline-offset: -2px; }
.tav-large { padding: 12px; outline: none; border: 1px solid var(--border-color); border-radius: 8px; max-width: 95vw;
    background: var(--comfy-menu-bg); color: var(--input-text); font: 13px/1.4 sans-serif; }
.tav-large::backdrop { background: rgb(0 0 0 / 60%); }
.tav-large .tav-compare { width: min(90vw, 1000px); height: min(75vh, 640px); }
.tav-large .tav-turn { display: flex; justify-content: space-between; align-items: center; margin-top: 10px; gap: 10px; }
.tav-turn button { min-width: 32px; padding: 4px 10px; border: 1px solid var(--border-color); border-radius: 6px;
    background: var(--comfy-input-bg); color: inherit; font: inherit; cursor: pointer; }
.tav-turn button[aria-disabled="true"] { opacity: 0.4; cursor: default; }
`

function fileUrl({ filename, subfolder, type }) {
    return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

/** Name a preview; that of step 0 shows the untuned model, and without a step it is the clip itself. */
const describe = ({ step }) =>
    step === null ? t("the clip") : t(step ? "after step {step}" : "before the first step", { step })

export class Filmstrip {
    constructor() {
        this.strip = h("div.tav-strip")
        this.strip.addEventListener("wheel", (event) => this.scroll(event), { passive: false })
        this.root = h("div.tav-film", { "aria-label": t("Previews") })
        this.show([], 0)
    }

    /** Show previews (their steps and files), or that one will appear every so many steps. */
    show(previews, every) {
        const shown = previews.map(({ filename }) => filename).join() || every
        if (shown === this.shown) return
        this.shown = shown
        this.clip = previews.find(({ step }) => step === null)
        this.previews = previews.filter((preview) => preview !== this.clip)
        if (!this.previews.length) {
            this.root.replaceChildren(h("p", {}, t("A preview appears here every {every} steps.", { every })))
            return
        }
        const before = new Map([...this.strip.querySelectorAll("button")].map((frame) => [frame.dataset.file, frame]))
        const [clip, newest] = [this.clip, this.previews.at(-1)].map((preview) => this.frame(preview))
        for (const large of [clip, newest]) large.classList.add("tav-big")
        newest.classList.add("tav-newest")
        this.strip.replaceChildren(...this.previews.map((it) => before.get(it.filename) ?? this.frame(it)))
        this.root.replaceChildren(clip, newest, this.strip)
        this.strip.scrollTop = this.strip.scrollHeight
    }

    frame(preview) {
        const alt = describe(preview)
        const title = t("{preview}: click to play", { preview: alt })
        const number = this.previews.indexOf(preview)
        const open = () => this.open(number < 0 ? this.previews.length - 1 : number)
        const picture = { src: fileUrl(preview), alt, loading: "lazy", decoding: "async", draggable: "false" }
        const button = { type: "button", title, "data-file": preview.filename, onclick: open }
        return h("button", button, h("img", picture), preview.step === null ? alt : String(preview.step))
    }

    /** Scroll the strip with the wheel if it overflows; else leave the wheel to the canvas. */
    scroll(event) {
        if (this.strip.scrollHeight <= this.strip.clientHeight) return
        event.stopPropagation()
        event.preventDefault()
        this.strip.scrollTop += event.deltaY
    }

    /** Play the clip and one preview beside each other; the arrow keys up and down go to the next preview. */
    open(index) {
        const view = new CompareView({})
        view.root.classList.add("tav-panel")
        const caption = h("span")
        const step = (by) => () => turn(index + by)
        const back = h("button", { type: "button", "aria-label": t("previous"), onclick: step(-1) }, "‹")
        const on = h("button", { type: "button", "aria-label": t("next"), onclick: step(1) }, "›")
        const dialog = h("dialog.tav-large", { tabindex: -1 }, view.root, h("div.tav-turn", {}, back, caption, on))
        const turn = (to) => {
            const preview = this.previews[to]
            if (!preview) return
            index = to
            view.show([this.clip, preview].map((it) => ({ ...it.video, label: describe(it) })))
            caption.textContent = describe(preview)
            // not `disabled`: such a button loses the focus, and with it the arrow keys
            back.ariaDisabled = to === 0
            on.ariaDisabled = to === this.previews.length - 1
        }
        dialog.addEventListener("keydown", (event) => {
            event.stopPropagation() // ComfyUI has keys of its own
            if (event.key in ARROWS) turn(index + ARROWS[event.key])
            else view.key(event)
        })
        dialog.addEventListener("click", (event) => event.target === dialog && dialog.close())
        dialog.addEventListener("close", () => {
            view.destroy()
            dialog.remove()
        })
        document.body.append(dialog)
        dialog.showModal()
        turn(index)
    }
}
