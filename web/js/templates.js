// Template browser: this pack's workflows in the order of their names, with which the numbers in them begin; opened, they
// fill the window, with notes and titles in the language of the page.

import { api } from "../../../scripts/api.js"
import { app } from "../../../scripts/app.js"
import { rootGraph } from "./graph.js"
import { chinese } from "./i18n.js"

const [, pack] = decodeURIComponent(import.meta.url).match(/\/extensions\/([^/]+)\//)

// The server lists a folder as the file system does, in no order.
const { getWorkflowTemplates } = api
api.getWorkflowTemplates = async function () {
    const templates = await getWorkflowTemplates.call(this)
    templates[pack]?.sort(new Intl.Collator("en", { numeric: true }).compare)
    return templates
}

const MENUS = { left: 76, top: 92, right: 20, bottom: 8 } // pixels of the window that they take up
let opened = false // from the template browser; a workflow of the user's opens as it was left
const { loadGraphData } = app
app.loadGraphData = async function (...args) {
    opened = args[4]?.openSource === "template"
    const hidden = !app.canvas.canvas.clientWidth // app mode; ComfyUI fits the view when the canvas is back
    await loadGraphData.apply(this, args)
    if (hidden && opened && rootGraph().extra.tune_a_video_zh) requestAnimationFrame(fillWindow)
}

/** Show the graph as large as fits between the menus: ComfyUI leaves a quarter of the window free around it. */
function fillWindow() {
    const { nodes, groups } = rootGraph()
    const title = LiteGraph.NODE_TITLE_HEIGHT
    const box = ({ pos: [x, y], size: [width, height], flags }) => [x, y - title, width, title + (flags.collapsed ? 0 : height)]
    const boxes = [...nodes.map(box), ...groups.map(({ boundingRect }) => boundingRect)]
    const left = Math.min(...boxes.map(([x]) => x)), right = Math.max(...boxes.map(([x, , width]) => x + width))
    const top = Math.min(...boxes.map(([, y]) => y)), bottom = Math.max(...boxes.map(([, y, , height]) => y + height))
    const { ds } = app.canvas
    const width = innerWidth - MENUS.left - MENUS.right, height = innerHeight - MENUS.top - MENUS.bottom
    ds.scale = Math.min(1, width / (right - left), height / (bottom - top))
    ds.offset[0] = (MENUS.left + width / 2) / ds.scale - (left + right) / 2
    ds.offset[1] = MENUS.top / ds.scale - top
    app.canvas.setDirty(true, true)
}

app.registerExtension({
    name: "TuneAVideo.Templates",

    /** A workflow of ours has its texts in Chinese beside it. What the user has changed in it is no such text. */
    afterConfigureGraph() {
        const { nodes, groups, extra } = rootGraph()
        const texts = extra.tune_a_video_zh
        if (texts && opened) fillWindow()
        if (!texts || !chinese()) return
        for (const node of nodes) {
            node.title = texts[node.title] ?? node.title
            if (node.type !== "MarkdownNote") continue
            const [text] = node.widgets
            text.value = texts[text.value] ?? text.value
        }
        for (const group of groups) {
            const [number, title] = group.title.split(" · ")
            if (texts[title]) group.title = `${number} · ${texts[title]}`
        }
    },
})
