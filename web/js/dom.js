// Elements and styles that this pack adds to the page.

/** Create an element: a tag with classes ("div.tav-line"), attributes and event handlers, and its children. */
export function h(tag, properties = {}, ...children) {
    const [name, ...classes] = tag.split(".")
    const element = document.createElement(name)
    element.classList.add(...classes)
    for (const [key, value] of Object.entries(properties)) {
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
        else element.setAttribute(key, value)
    }
    element.append(...children)
    return element
}

/** Add a style sheet to the page, once. */
export function addStyle(id, css) {
    if (document.getElementById(id)) return
    const style = h("style", { id })
    style.textContent = css
    document.head.append(style)
}
