// Nodes and graphs of the open workflow.

import { app } from "../../../scripts/app.js"

/** Call `callback` after the object's method of this name, with the same arguments. */
export function chain(object, name, callback) {
    const original = object[name]
    object[name] = function (...args) {
        const result = original?.apply(this, args)
        callback(...args)
        return result
    }
}

/** Return the widget of a node by its name. */
export const widgetOf = (node, name) => node.widgets.find((widget) => widget.name === name)

/** Return the top graph of the open workflow, whichever subgraph is shown. */
export const rootGraph = () => app.rootGraph ?? app.graph

/** Return all nodes of the open workflow, those inside subgraphs included. */
export function allNodes() {
    return [rootGraph(), ...rootGraph().subgraphs.values()].flatMap(({ nodes }) => nodes)
}

/** Return [execution id, node] of all nodes of the open workflow; several ids where several nodes stand for a subgraph. */
export function executions(graph = rootGraph(), outside = "") {
    return graph.nodes.flatMap((node) => {
        const id = `${outside}${node.id}`
        return [[id, node], ...(node.subgraph ? executions(node.subgraph, `${id}:`) : [])]
    })
}

/** Return the node behind an execution id: "12:5" is node 5 within the subgraph of node 12. */
export function nodeByExecutionId(executionId) {
    let graph = rootGraph(), node = null
    for (const id of executionId.split(":")) {
        node = graph?.getNodeById(id)
        graph = node?.subgraph
    }
    return node
}
