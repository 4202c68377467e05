// What an input will be when the graph runs: the value of its own widget, or of one elsewhere that it is linked to.

import { after, openNodes } from "./page.js"

/** The value that an input will have, undefined if it is not known yet; a change elsewhere calls `changed`. */
export function chosen(node, name, changed) {
    const widget = deciding(node, name, changed)
    if (!widget) return undefined
    if (!node.widgets.includes(widget)) watch(widget, "callback", changed)
    return widget.value ?? ""
}

/** The widget that decides over an input of a node; undefined when a node does that has to run first. */
function deciding(node, name, changed) {
    const link = node.graph.getLink(node.inputs.find((input) => input.name === name)?.link)
    if (!link) return node.widgets?.find((widget) => widget.name === name)
    const origin = node.graph.getNodeById(link.origin_id)
    if (origin?.type.startsWith("Primitive")) return deciding(origin, origin.widgets[0].name, changed)
    if (origin?.type === "Reroute") {
        watch(origin, "onConnectionsChange", changed)
        return deciding(origin, origin.inputs[0].name, changed)
    }
    if (origin) return undefined
    // It is an input of the subgraph: nodes outside stand for that, and each of several has a value of its own.
    const [outside, another] = openNodes().filter(({ subgraph }) => subgraph === node.graph)
    if (!outside || another) return undefined
    watch(outside, "onConnectionsChange", changed)
    return deciding(outside, node.graph.inputs[link.origin_slot].name, changed)
}

const watched = new WeakMap() // a widget or node elsewhere -> what its changes call

function watch(object, method, changed) {
    if (!watched.has(object)) {
        const calls = new Set()
        watched.set(object, calls)
        after(object, method, () => calls.forEach((call) => call()))
    }
    watched.get(object).add(changed)
}
