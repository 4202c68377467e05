// The value that an input will have when the graph runs: of its own widget, or of the one that it is linked to.

import { allNodes, chain } from "./graph.js"

/** Return the value an input will have, undefined while it is unknown; a change anywhere calls `onChange`. */
export function inputValue(node, name, onChange) {
    const widget = sourceWidget(node, name, onChange)
    if (!widget) return undefined
    if (!node.widgets.includes(widget)) watch(widget, "callback", onChange)
    return widget.value ?? ""
}

/** Return the widget that sets an input; undefined when another node has to run first. */
function sourceWidget(node, name, onChange) {
    const link = node.graph.getLink(node.inputs.find((input) => input.name === name)?.link)
    if (!link) return node.widgets?.find((widget) => widget.name === name)
    const origin = node.graph.getNodeById(link.origin_id)
    if (origin?.type.startsWith("Primitive")) return sourceWidget(origin, origin.widgets[0].name, onChange)
    if (origin?.type === "Reroute") {
        watch(origin, "onConnectionsChange", onChange)
        return sourceWidget(origin, origin.inputs[0].name, onChange)
    }
    if (origin) return undefined
    // It is an input of the subgraph: nodes outside stand for that, and each of several has a value of its own.
    const [outside, another] = allNodes().filter(({ subgraph }) => subgraph === node.graph)
    if (!outside || another) return undefined
    watch(outside, "onConnectionsChange", onChange)
    return sourceWidget(outside, node.graph.inputs[link.origin_slot].name, onChange)
}

const watched = new WeakMap() // a widget or node elsewhere -> callbacks of its changes

function watch(object, method, onChange) {
    if (!watched.has(object)) {
        const callbacks = new Set()
        watched.set(object, callbacks)
        chain(object, method, () => callbacks.forEach((callback) => callback()))
    }
    watched.get(object).add(onChange)
}
