// Template browser: this pack's workflows in the order of their names, with which the numbers in them begin; their notes
// and titles in the language of the page.

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

app.registerExtension({
    name: "TuneAVideo.Templates",

    /** A workflow of ours has its texts in Chinese beside it. What the user has changed in it is no such text. */
    afterConfigureGraph() {
        const { nodes, groups, extra } = rootGraph()
        const texts = extra.tune_a_video_zh
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
