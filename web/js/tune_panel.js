// What One-Shot Tune shows on its node: how far it is, the loss curve, the previews, and two buttons.

import { addStyle, element } from "./page.js"
import { CURVE_STYLE, LossCurve, runningMean, short } from "./tune_curve.js"
import { FILM_HEIGHT, FILM_STYLE, Filmstrip } from "./tune_film.js"
import { say } from "./words.js"

const HEIGHT = 210 // of the panel without previews: the same before, during and after a run

const STYLE = `
.tav-tune { --tav-accent: var(--p-primary-color, #3b8eea); display: flex; flex-direction: column; gap: 6px; width: 100%;
    height: 100%; box-sizing: border-box; padding: 8px; overflow: hidden; border-radius: 6px;
    background: var(--component-node-widget-background, var(--comfy-input-bg)); color: var(--input-text);
    font: 12px/16px sans-serif; }
.tav-tune [hidden] { display: none !important; }
.tav-tune .tav-row { display: flex; flex: none; gap: 8px; justify-content: space-between; white-space: nowrap; }
.tav-tune .tav-row > :first-child { overflow: hidden; text-overflow: ellipsis; }
.tav-tune .tav-small { color: var(--descrip-text); font-size: 11px; }
.tav-tune .tav-empty { margin: auto; max-width: 34em; text-align: center; color: var(--descrip-text); }
.tav-tune .tav-buttons { display: flex; flex: none; gap: 6px; }
.tav-tune .tav-buttons button { flex: 1; padding: 4px 8px; border: 1px solid var(--border-color); border-radius: 6px;
    background: var(--comfy-menu-bg); color: var(--input-text); font: inherit; cursor: pointer; }
.tav-tune .tav-buttons button:hover:enabled { border-color: var(--tav-accent); }
.tav-tune .tav-buttons button:disabled { opacity: 0.5; cursor: default; }
${CURVE_STYLE}${FILM_STYLE}`

function duration(seconds) {
    if (seconds < 90) return say("{n} s", { n: Math.max(1, Math.round(seconds)) })
    if (seconds < 5400) return say("{n} min", { n: Math.round(seconds / 60) })
    return say("{n} h", { n: short(seconds / 3600) })
}

const NOW = {
    running: "Step {step} of {steps}",
    done: "Tuned for {step} steps",
    stopped: "Stopped after step {step} of {steps}, and kept",
    cancelled: "Cancelled after step {step} of {steps}",
    failed: "Failed after step {step} of {steps}",
}

export class TunePanel {
    /** `ask(what, run)`: the person wants "stop" or "cancel". */
    constructor(ask) {
        addStyle("tav-tune-style", STYLE)
        this.run = null
        this.every = 0
        this.now = element("span", { role: "status" })
        this.time = element("span")
        this.facts = element("span")
        this.empty = element("p.tav-empty")
        this.curve = new LossCurve()
        this.film = new Filmstrip()
        this.stop = element("button", { type: "button", onclick: () => this.askToStop(ask) })
        this.stop.title = say("End the tuning after this step, and go on with what is learned")
        this.cancel = element("button", { type: "button", onclick: () => ask("cancel", this.run) }, say("Cancel"))
        this.cancel.title = say("Cancel the whole run; nothing of this tuning is kept")
        this.buttons = element("div.tav-buttons", {}, this.stop, this.cancel)
        this.head = element("div.tav-row", {}, this.now, this.time)
        this.second = element("div.tav-row.tav-small", {}, this.facts)
        const parts = [this.head, this.second, this.empty, this.curve.root, this.film.root, this.buttons]
        this.root = element("div.tav-tune", {}, ...parts)
        this.update()
    }

    /** The least height of the panel in pixels. */
    get height() {
        return HEIGHT + (this.film.root.hidden ? 0 : FILM_HEIGHT + 6)
    }

    /** The person set how many steps lie between previews; 0 for none. */
    expectPreviews(every) {
        this.every = every
        this.update()
    }

    /** Show a run as the server tells it; null when there was none. */
    show(run) {
        const older = run && this.run?.run === run.run && run.losses.length < this.run.losses.length
        if (!older) this.run = run // an answer may arrive after messages that were sent later
        this.update()
    }

    /** Take in what a message says of the run; false when something between is missing. */
    take({ from, losses, preview, ...progress }) {
        const run = this.run
        if (run?.run !== progress.run || from > run.losses.length) return false
        Object.assign(run, progress)
        losses?.forEach((loss, i) => (run.losses[from + i] = loss))
        if (preview) run.previews = [...run.previews.filter(({ step }) => step !== preview.step), preview]
        this.update()
        return true
    }

    async askToStop(ask) {
        this.stop.disabled = true
        try {
            await ask("stop", this.run)
        } catch {
            this.stop.disabled = false // the server did not hear it
        }
    }

    update() {
        const { run } = this
        const running = run?.state === "running"
        this.root.dataset.state = run?.state ?? "idle"
        const failed = Boolean(run?.reason)
        for (const part of [this.head, this.second]) part.hidden = !run
        this.curve.root.hidden = !run || (failed && !run.losses.length)
        this.empty.hidden = Boolean(run) && !failed
        this.empty.textContent = run?.reason || say("The loss curve appears here while tuning.")
        this.buttons.hidden = !running
        const every = running ? run.preview_every : this.every
        this.film.root.hidden = !every && !run?.previews.length
        this.root.style.minHeight = `${this.height}px`
        this.film.show(run?.previews ?? [], every)
        this.curve.show(run)
        if (run) this.tell(run)
    }

    tell(run) {
        const running = run.state === "running"
        this.now.textContent = say(NOW[run.state], { step: run.losses.length, steps: run.steps })
        this.time.textContent = running ? this.left(run) : say("took {time}", { time: duration(run.seconds) })
        const facts = []
        if (run.losses.length) facts.push(say("mean loss {loss}", { loss: short(runningMean(run.losses).at(-1)) }))
        if (run.learning_rate) facts.push(say("learning rate {rate}", { rate: short(run.learning_rate) }))
        if (run.continued_from) facts.push(say("continuing from step {step}", { step: run.continued_from }))
        this.facts.title = this.facts.textContent = facts.join(" · ")
        this.stop.disabled = run.stopping
        this.stop.textContent = say(run.stopping ? "Stopping …" : "Stop and keep")
    }

    left(run) {
        if (run.sampling) return say("rendering a preview …")
        return run.seconds_left === null ? "" : say("{time} left", { time: duration(run.seconds_left) })
    }

    end() {
        this.curve.end()
    }
}
