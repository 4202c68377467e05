// Advanced inputs on the classic canvas: hidden until asked for. ComfyUI 0.33.0 does this in its Vue renderer only.

import { app } from "../../../scripts/app.js"
import { t } from "./i18n.js"

app.registerExtension({
    name: "TuneAVideo.AdvancedInputs",

    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("TAV")) return
        const advanced = node.widgets?.filter(({ options }) => options?.advanced)
        if (!advanced?.length) return
        for (const widget of advanced) widget.advanced = true
        // ComfyUI (frontend 1.49) leaves room for those that it does not draw
        node.getLayoutWidgets = () => node.widgets.filter((widget) => node.isWidgetVisible(widget))

        const toggle = () => {
            const spare = Math.max(0, node.size[1] - node.computeSize()[1])
            node.showAdvanced = !node.showAdvanced
            label()
            node.setSize([node.size[0], node.computeSize()[1] + spare])
            node.graph?.setDirtyCanvas(true, true)
        }
        const button = node.addWidget("button", "advanced", null, toggle, { serialize: false, canvasOnly: true })
        button.serialize = false
        const label = () => (button.label = t(node.showAdvanced ? "Hide advanced settings" : "Show advanced settings"))
        const panel = node.widgets.findIndex(({ type }) => type.startsWith("tav_"))
        if (panel >= 0) node.widgets.splice(panel, 0, node.widgets.pop())
        label()
        if (!LiteGraph.vueNodesMode) node.setSize([node.size[0], node.computeSize()[1]])
    },
})
