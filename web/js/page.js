// Small things that the nodes of this pack share in the page.

import { app } from "../../../scripts/app.js"

/** Call `also` after the method of this name, with its arguments. */
export function after(object, name, also) {
    const original = object[name]
    object[name] = function (...args) {
        const result = original?.apply(this, args)
        also(...args)
        return result
    }
}

/** A new element: a tag with classes ("div.tav-line"), attributes and event handlers, and what it holds. */
export function element(tag, properties = {}, ...content) {
    const [name, ...classes] = tag.split(".")
    const made = document.createElement(name)
    made.classList.add(...classes)
    for (const [key, value] of Object.entries(properties)) {
        if (key.startsWith("on")) made.addEventListener(key.slice(2), value)
        else made.setAttribute(key, value)
    }
    made.append(...content)
    return made
}

/** The graph of the workflow that is open, whichever of its subgraphs is in sight. */
export const root = () => app.rootGraph ?? app.graph

/** The nodes of the workflow that is open, those within its subgraphs too. */
export function openNodes() {
    return [root(), ...root().subgraphs.values()].flatMap(({ nodes }) => nodes)
}

/** The node that ComfyUI calls "12:5" while it runs: node 5 within the subgraph of node 12. */
export function nodeOf(executionId) {
    let graph = root(), node = null
    for (const id of executionId.split(":")) {
        node = graph?.getNodeById(id)
        graph = node?.subgraph
    }
    return node
}

/** Add a style sheet to the page, once. */
export function addStyle(id, css) {
    if (document.getElementById(id)) return
    const style = element("style", { id })
    style.textContent = css
    document.head.append(style)
}

const MARGIN = 10 // pixels that the classic canvas leaves around an element

/**
 * Show an element on a node, under its widgets. It is no part of the saved workflow nor of the prompt.
 * `minHeight` of the element is a number of pixels, or a function that gives one. `onRemove` is called when the node
 * goes, also with its workflow.
 */
export function showOnNode(node, name, shown, minHeight, onRemove = () => {}) {
    const getMinHeight = () => (typeof minHeight === "function" ? minHeight() : minHeight) + 2 * MARGIN
    const options = {
        serialize: false,
        getMinHeight,
        hideOnZoom: false,
        hideInPanel: true, // the properties panel would leave it as narrow as itself
    }
    const widget = node.addDOMWidget(name, `tav_${name}`, shown, options)
    widget.serialize = false
    shown.dataset.shows = name
    const end = () => {
        elements.delete(node)
        onRemove()
    }
    after(node, "onAdded", () => elements.set(node, { shown, end }))
    after(widget, "onRemove", end)
    passToCanvas(shown)
    // the height it will have anyway: a node that grows later is an edit to undo
    if (!LiteGraph.vueNodesMode) node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])])
}

const elements = new Map() // node in a graph -> what it shows, and what ends that

/** Of nodes within a subgraph, ComfyUI does not say that they go when another workflow is opened. */
function letGo() {
    const open = new Set(openNodes())
    for (const [node, { end }] of elements) if (!open.has(node)) end()
}

/** The Vue renderer goes on showing what a node of the same number had before: after undo, for one. */
function putInPlace() {
    for (const [node, { shown }] of elements) {
        if (shown.isConnected || node.graph !== app.canvas.graph) continue
        document.querySelector(`[data-node-id="${node.id}"] [data-shows="${shown.dataset.shows}"]`)?.replaceWith(shown)
    }
}

app.registerExtension({
    name: "TuneAVideo.Page",

    afterConfigureGraph() {
        letGo()
        if (LiteGraph.vueNodesMode) setTimeout(putInPlace, 100) // when the nodes are drawn
    },
})

/** On the classic canvas, the wheel zooms and the middle button pans over an element as they do beside it. */
function passToCanvas(shown) {
    shown.addEventListener("wheel", (event) => LiteGraph.vueNodesMode || app.canvas.processMouseWheel(event))
    shown.addEventListener("pointerdown", (event) => event.button === 1 && app.canvas.processMouseDown(event))
    shown.addEventListener("pointermove", (event) => event.buttons & 4 && app.canvas.processMouseMove(event))
    shown.addEventListener("pointerup", (event) => event.button === 1 && app.canvas.processMouseUp(event))
}
