// Inputs that grow: of result_1, result_2, ... those that are connected are shown, and one more.

import { chain } from "./graph.js"

const RESULT = /^result_(\d+)$/

/** Keep one free result input at the end of a node. */
export function growInputs(node) {
    const results = () => node.inputs.filter((input) => RESULT.test(input.name))
    const all = results().map(({ name, type, shape, localized_name }) => [name, type, { shape, localized_name }])

    function fit() {
        const shown = results()
        const used = shown.findLastIndex((input) => input.link != null) + 1
        const wanted = Math.min(used + 1, all.length)
        for (const input of all.slice(shown.length, wanted)) node.addInput(...input)
        for (const input of shown.slice(wanted).reverse()) node.removeInput(node.inputs.indexOf(input))
        node.graph?.setDirtyCanvas(true, true)
    }

    // A link names its slot by number. ComfyUI restores all inputs in the order of the schema, but the links of a saved
    // or copied node refer to the order that it had.
    const { configure } = node
    node.configure = function (saved) {
        const names = saved.inputs?.map(({ name }) => name)
        configure.call(this, saved)
        const kept = names?.map((name) => node.inputs.find((input) => input.name === name)).filter(Boolean)
        if (kept) node.inputs.splice(0, node.inputs.length, ...kept)
    }

    // After everything that happens now: pasted and loaded nodes get their links after their inputs.
    let waiting
    const later = () => {
        clearTimeout(waiting)
        waiting = setTimeout(fit)
    }
    chain(node, "onConnectionsChange", later)
    chain(node, "onConfigure", later)
    later()
}
