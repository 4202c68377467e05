// The server's sentences in the user's language: on this pack's nodes, in ComfyUI's dialogs and in its error panel.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { chinese } from "./i18n.js"
import { CORE } from "./zh/core.js"
import { NODES } from "./zh/nodes.js"
import { PHRASES } from "./zh/phrases.js"

const VALUE = /{(\w+)}/g

/** Return [pattern, translation] of templates, those with most text first: a general one must not take what is another's. */
function patterns(templates) {
    const text = ([english]) => english.replace(VALUE, "").length
    return Object.entries(templates)
        .sort((one, other) => text(other) - text(one))
        .map(([english, translation]) => {
            const pattern = english.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(VALUE, "(?<$1>.*?)")
            return [new RegExp(`^${pattern}$`, "s"), translation]
        })
}

const SENTENCES = patterns({ ...NODES, ...CORE })
const PARTS = patterns(PHRASES)

function translated(text, among) {
    for (const [pattern, translation] of among) {
        const found = text.match(pattern)
        if (found) return translation.replace(VALUE, (_, name) => value(found.groups[name]))
    }
}

const value = (text) => text.split("; ").map((part) => translated(part, PARTS) ?? part).join("; ")

/** Return what the server says, one sentence or several, in the user's language; as it is where one is not known. */
export function fromServer(text) {
    if (!chinese()) return text
    const whole = text.trim()
    const sentences = [translated(whole, SENTENCES)]
    if (!sentences[0]) sentences.splice(0, 1, ...whole.split(/(?<=\.) /).map((part) => translated(part, SENTENCES)))
    return sentences.every(Boolean) ? sentences.join("") : text
}

/** Translate why nodes refuse their inputs: ComfyUI writes "input - sentence". */
function translateRefusals(nodes) {
    for (const { errors } of Object.values(nodes ?? {}))
        for (const error of errors)
            error.details = error.details?.replace(/^(\w+ - )(.*)$/s, (_, input, said) => input + fromServer(said))
}

/** Translate a member of what comes with an event of ComfyUI's, before its own listeners see it. */
function translateEvent(event, member) {
    const translate = ({ detail }) => {
        if (detail?.[member]) detail[member] = fromServer(detail[member])
    }
    api.addEventListener(event, translate, { capture: true }) // the capturing come first, whoever was there before
}

app.registerExtension({
    name: "TuneAVideo.ServerMessages",

    init() {
        translateEvent("execution_error", "exception_message")
        translateEvent("progress_text", "text")
        const queuePrompt = api.queuePrompt
        // not async, else ComfyUI finds this file in the error's stack and names it as its cause
        api.queuePrompt = function (...inputs) {
            const refused = (error) => {
                translateRefusals(error.response?.node_errors)
                throw error
            }
            return queuePrompt.apply(this, inputs).then((answer) => {
                translateRefusals(answer.node_errors)
                return answer
            }, refused)
        }
    },
})
