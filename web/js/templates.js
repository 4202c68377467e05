// Template browser: this pack's workflows in the order of their names, with which the numbers in them begin.

import { api } from "../../../scripts/api.js"

const [, pack] = decodeURIComponent(import.meta.url).match(/\/extensions\/([^/]+)\//)

// The server lists a folder as the file system does, in no order.
const { getWorkflowTemplates } = api
api.getWorkflowTemplates = async function () {
    const templates = await getWorkflowTemplates.call(this)
    templates[pack]?.sort(new Intl.Collator("en", { numeric: true }).compare)
    return templates
}
