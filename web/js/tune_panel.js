// The panel of One-Shot Tune: progress, loss curve, previews, and two buttons.

import { addStyle, h } from "./dom.js"
import { FILM_HEIGHT, FILM_STYLE, Filmstrip } from "./filmstrip.js"
import { t } from "./i18n.js"
import { CURVE_STYLE, LossCurve, runningMean, short } from "./loss_curve.js"
import { fromServer } from "./server_messages.js"

const HEIGHT = 190 // of the panel without previews: the same before, during and after a run

const STYLE = `
.tav-tune { --tav-accent: var(--p-primary-color, #3b8eea); display: flex; flex-direction: column; gap: 6px;
    line-height: 16px; }
.tav-tune .tav-row { display: flex; flex: none; gap: 8px; justify-content: space-between; white-space: nowrap; }
.tav-tune .tav-row > :first-child { overflow: hidden; text-overflow: ellipsis; }
.tav-tune .tav-small { color: var(--descrip-text); font-size: 11px; }
.tav-tune .tav-note { flex: none; max-height: 32px; overflow: hidden; color: var(--input-text); }
.tav-tune .tav-empty { margin: auto; max-width: 34em; text-align: center; color: var(--descrip-text); }
.tav-tune .tav-buttons { display: flex; flex: none; gap: 6px; }
.tav-tune .tav-buttons button { flex: 1; height: 26px; border-radius: 6px; }
${CURVE_STYLE}${FILM_STYLE}`

function duration(seconds) {
    if (seconds < 90) return t("{n} s", { n: Math.max(1, Math.round(seconds)) })
    if (seconds < 5400) return t("{n} min", { n: Math.round(seconds / 60) })
    return t("{n} h", { n: short(seconds / 3600) })
}

const STATES = {
    running: "Step {step} of {steps}",
    done: "Tuned for {step} steps",
    stopped: "Stopped after step {step} of {steps}, and kept",
    cancelled: "Cancelled after step {step} of {steps}",
    failed: "Failed after step {step} of {steps}",
}

export class TunePanel {
    /** @param actions functions `stop(run)`, `cancel(run)` and `continue(run)` that ask the server */
    constructor(actions) {
        addStyle("tav-tune-style", STYLE)
        this.run = null
        this.every = 0
        this.state = h("span", { role: "status" })
        this.time = h("span")
        this.facts = h("span")
        this.empty = h("p.tav-empty")
        this.curve = new LossCurve()
        this.film = new Filmstrip()
        this.stop = h("button", { type: "button", onclick: () => this.requestStop(actions) })
        this.stop.title = t("End the tuning after this step, and go on with what is learned")
        this.cancel = h("button", { type: "button", onclick: () => actions.cancel(this.run) }, t("Cancel"))
        this.cancel.title = t("Cancel the whole run; nothing of this tuning is kept")
        this.resume = h("button", { type: "button", onclick: () => actions.continue(this.run) }, t("Continue"))
        this.resume.title = t("Run again, from the step at which this was stopped")
        this.buttons = h("div.tav-buttons", {}, this.stop, this.cancel, this.resume)
        this.note = h("div.tav-small.tav-note", { role: "status" })
        this.head = h("div.tav-row", {}, this.state, this.time)
        this.details = h("div.tav-row.tav-small", {}, this.facts)
        const parts = [this.head, this.details, this.note, this.empty, this.curve.root, this.film.root, this.buttons]
        this.root = h("div.tav-tune", {}, ...parts)
        this.update()
    }

    /** Least height of the panel in pixels. */
    get height() {
        return HEIGHT + (this.film.root.hidden ? 0 : FILM_HEIGHT + 6)
    }

    /** Make room for previews: one every so many steps, 0 for none. */
    expectPreviews(every) {
        this.every = every
        this.update()
    }

    /** Show a run as the server sends it; null when there was none. */
    show(run) {
        const older = run && this.run?.run === run.run && run.losses.length < this.run.losses.length
        if (!older) this.run = run // an answer may arrive after messages that were sent later
        this.update()
    }

    /** Apply a message to the run; false when a message before it is missing. */
    apply({ from, losses, preview, ...progress }) {
        const run = this.run
        if (run?.run !== progress.run || from > run.losses.length) return false
        Object.assign(run, progress)
        losses?.forEach((loss, i) => (run.losses[from + i] = loss))
        if (preview) run.previews = [...run.previews.filter(({ step }) => step !== preview.step), preview]
        this.update()
        return true
    }

    async requestStop(actions) {
        this.stop.disabled = true
        try {
            await actions.stop(this.run)
        } catch {
            this.stop.disabled = false // the server did not get it
        }
    }

    update() {
        const { run } = this
        const running = run?.state === "running"
        this.root.dataset.state = run?.state ?? "idle"
        const failed = Boolean(run?.reason)
        for (const part of [this.head, this.details]) part.hidden = !run
        this.curve.root.hidden = !run || (failed && !run.losses.length)
        this.empty.hidden = Boolean(run) && !failed
        this.empty.textContent = fromServer(run?.reason ?? "") || t("The loss curve appears here while tuning.")
        this.buttons.hidden = !running && run?.state !== "stopped"
        this.stop.hidden = this.cancel.hidden = !running
        this.resume.hidden = running
        this.note.hidden = !run?.note
        this.note.textContent = this.note.title = fromServer(run?.note ?? "")
        const every = running ? run.preview_every : this.every
        this.film.root.hidden = !every && !run?.previews.length
        this.root.style.minHeight = `${this.height}px`
        this.film.show(run?.previews ?? [], every)
        this.curve.show(run)
        if (run) this.describe(run)
    }

    describe(run) {
        const running = run.state === "running"
        this.state.textContent = t(STATES[run.state], { step: run.losses.length, steps: run.steps })
        this.time.textContent = running ? this.left(run) : t("took {time}", { time: duration(run.seconds) })
        const facts = []
        const validation = run.validation?.at(-1)
        if (validation) facts.push(t("validation loss {loss}", { loss: short(validation[1]) }))
        else if (run.losses.length) facts.push(t("mean loss {loss}", { loss: short(runningMean(run.losses).at(-1)) }))
        if (run.learning_rate) facts.push(t("learning rate {rate}", { rate: short(run.learning_rate) }))
        if (run.continued_from) facts.push(t("continuing from step {step}", { step: run.continued_from }))
        this.facts.title = this.facts.textContent = facts.join(" · ")
        this.stop.disabled = run.stopping
        this.stop.textContent = t(run.stopping ? "Stopping …" : "Stop and keep")
    }

    left(run) {
        if (run.sampling) return t("rendering a preview …")
        return run.seconds_left === null ? "" : t("{time} left", { time: duration(run.seconds_left) })
    }

    destroy() {
        this.curve.destroy()
    }
}
