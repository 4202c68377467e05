// Panels: elements on a node, below its widgets.

import { app } from "../../../scripts/app.js"
import { addStyle } from "./dom.js"
import { allNodes, chain } from "./graph.js"

const MARGIN = 10 // pixels that the classic canvas leaves around an element

const STYLE = `
.tav-panel { box-sizing: border-box; width: 100%; height: 100%; padding: 6px; overflow: hidden; border-radius: 6px;
    background: var(--component-node-widget-background, var(--comfy-input-bg)); color: var(--input-text);
    font: 12px/1.4 sans-serif; }
.tav-panel [hidden] { display: none !important; }
.tav-panel button, .tav-panel select { height: 22px; padding: 0 6px; border: 1px solid var(--border-color);
    border-radius: 4px; background: var(--comfy-menu-bg); color: inherit; font: inherit; cursor: pointer; }
.tav-panel button:hover:enabled, .tav-panel select:hover { border-color: var(--descrip-text); }
.tav-panel button:focus-visible, .tav-panel select:focus-visible { outline: 1px solid var(--input-text); }
.tav-panel button:disabled { opacity: 0.5; cursor: default; }
`

addStyle("tav-panel-style", STYLE) // before those of the panels, which take precedence

/**
 * Add a panel to a node. It is neither part of the saved workflow nor of the prompt.
 *
 * @param minHeight pixels, or a function that returns them
 * @param onRemove called when the node is removed, also together with its workflow
 */
export function addPanel(node, name, element, minHeight, onRemove = () => {}) {
    element.classList.add("tav-panel")
    const heightNow = () => (typeof minHeight === "function" ? minHeight() : minHeight)
    element.style.minHeight = `${heightNow()}px` // the Vue renderer asks the style sheet
    const options = {
        serialize: false,
        getMinHeight: () => heightNow() + 2 * MARGIN,
        hideOnZoom: false,
        hideInPanel: true, // the properties panel would leave it as narrow as itself
    }
    const widget = node.addDOMWidget(name, `tav_${name}`, element, options)
    widget.serialize = false
    element.dataset.panel = name
    const remove = () => {
        panels.delete(node)
        onRemove()
    }
    const enter = () => panels.set(node, { element, remove })
    if (node.graph) enter()
    else chain(node, "onAdded", enter)
    chain(widget, "onRemove", remove)
    passToCanvas(element)
    // the height it will have anyway: a node that grows later is an edit to undo
    if (!LiteGraph.vueNodesMode) node.setSize([node.size[0], Math.max(node.size[1], node.computeSize()[1])])
}

const panels = new Map() // node in a graph -> its panel

/** Remove panels of nodes inside subgraphs: ComfyUI does not report that these go when another workflow opens. */
function removeClosed() {
    const open = new Set(allNodes())
    for (const [node, { remove }] of panels) if (!open.has(node)) remove()
}

/** Put panels back in place: the Vue renderer keeps the one of an earlier node of the same number, e.g. after undo. */
function replaceOutdated() {
    for (const [node, { element }] of panels) {
        if (element.isConnected || node.graph !== app.canvas.graph) continue
        const outdated = `[data-node-id="${node.id}"] [data-panel="${element.dataset.panel}"]`
        document.querySelector(outdated)?.replaceWith(element)
    }
}

app.registerExtension({
    name: "TuneAVideo.NodePanel",

    afterConfigureGraph() {
        removeClosed()
        if (LiteGraph.vueNodesMode) setTimeout(replaceOutdated, 100) // when the nodes are drawn
    },
})

/** On the classic canvas, the wheel zooms and the middle button pans over a panel as they do beside it. */
function passToCanvas(element) {
    element.addEventListener("wheel", (event) => LiteGraph.vueNodesMode || app.canvas.processMouseWheel(event))
    element.addEventListener("pointerdown", (event) => event.button === 1 && app.canvas.processMouseDown(event))
    element.addEventListener("pointermove", (event) => event.buttons & 4 && app.canvas.processMouseMove(event))
    element.addEventListener("pointerup", (event) => event.button === 1 && app.canvas.processMouseUp(event))
}
