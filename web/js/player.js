// Playback of videos as sprite sheets: every frame can be shown at once and exactly, and several videos stay in step.

/** All frames of a video in one decoded picture, row by row. */
class SpriteSheet {
    /**
     * @param bitmap the picture
     * @param layout number of frames and columns, width and height of a frame in the picture
     * @param size width and height of the video itself
     */
    constructor(bitmap, layout, size) {
        this.bitmap = bitmap
        this.layout = layout
        this.frames = layout.frames
        this.size = size
    }

    /** Draw a frame (beyond the end, the last) into a box {x, y, width, height}. */
    draw(context, frame, { x = 0, y = 0, width, height }) {
        const { frames, columns, ...cell } = this.layout
        const number = Math.min(frame, frames - 1)
        const left = (number % columns) * cell.width
        const top = Math.floor(number / columns) * cell.height
        context.drawImage(this.bitmap, left, top, cell.width, cell.height, x, y, width, height)
    }
}

/** Decode the sprite sheet in a response. */
export async function readSpriteSheet(response, layout, size) {
    return new SpriteSheet(await createImageBitmap(await response.blob()), layout, size)
}

/** Return the largest box of the shape `size` in the middle of a canvas. */
export function fit(canvas, [width, height]) {
    const scale = Math.min(canvas.width / width, canvas.height / height)
    const box = { width: width * scale, height: height * scale }
    return { x: (canvas.width - box.width) / 2, y: (canvas.height - box.height) / 2, ...box }
}

/**
 * Return the height in pixels of pictures that fill an element in rows, all of one height.
 *
 * @param shapes width / height of each picture
 * @param gap pixels between two pictures
 * @param caption pixels above each picture
 * @param least least width of a picture in pixels
 */
export function rowHeight(shapes, { clientWidth, clientHeight }, gap, caption, least) {
    const fits = (height) => {
        let rows = 1, left = 0
        for (const shape of shapes) {
            const width = Math.max(height * shape, least)
            if (width > clientWidth) return false
            if (left && left + width > clientWidth) [rows, left] = [rows + 1, 0]
            left += width + gap
        }
        return rows * (height + caption + gap) - gap <= clientHeight
    }
    let [height, beyond] = [0, Math.max(clientHeight, 1)]
    while (beyond - height > 1) {
        const middle = Math.floor((height + beyond) / 2)
        if (fits(middle)) height = middle
        else beyond = middle
    }
    return height
}

/** Clear a canvas, give it the screen's resolution, and return its context. */
export function clear(canvas) {
    const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio))
    const height = Math.max(1, Math.round(canvas.clientHeight * devicePixelRatio))
    const context = canvas.getContext("2d")
    if (canvas.width === width && canvas.height === height) context.clearRect(0, 0, width, height)
    else Object.assign(canvas, { width, height })
    context.imageSmoothingQuality = "high"
    return context
}

export const MODES = ["loop", "ping-pong", "once"]

/** Counts frames at a rate. Nothing runs while it is paused, or its element is off the screen. */
export class Playback {
    frame = 0
    count = 0
    fps = 1
    speed = 1
    mode = MODES[0]
    playing = !matchMedia("(prefers-reduced-motion: reduce)").matches
    #visible = false
    #request = null
    #since = 0

    /** `draw` is called when the frame or `playing` changes, `resize` when the size of the element does. */
    constructor(element, draw, resize = draw) {
        this.draw = draw
        this.observers = [
            new IntersectionObserver((entries) => {
                this.#visible = entries.at(-1).isIntersecting
                this.#run()
            }),
            new ResizeObserver(() => resize()),
        ]
        for (const observer of this.observers) observer.observe(element)
    }

    /** Start with another video. */
    load(count, fps) {
        this.count = count
        this.fps = fps
        this.seek(0)
    }

    play(playing = true) {
        this.playing = playing
        if (playing && this.mode === "once" && this.frame === this.count - 1) this.frame = 0
        this.#restart()
    }

    /** Change `speed` (1 is that of the video) or `mode`. */
    set(values) {
        Object.assign(this, values)
        this.#restart()
    }

    /** Go to a frame, and continue from there when playing. */
    seek(frame) {
        this.frame = this.count ? Math.min(Math.max(frame, 0), this.count - 1) : 0
        this.#restart()
    }

    /** Pause, and go forward by some frames, around the end. */
    step(by) {
        this.playing = false
        this.seek((this.frame + by + this.count) % this.count)
    }

    /** Handle a key: the arrows go frame by frame, Home and End to the ends, space plays or pauses. */
    key(event) {
        const steps = { ArrowLeft: -1, ArrowRight: 1 }
        const ends = { Home: 0, End: Infinity }
        if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return
        if (event.key in steps) this.step(steps[event.key])
        else if (event.key in ends) this.seek(ends[event.key])
        else if (event.key === " ") this.play(!this.playing)
        else return
        event.preventDefault()
        event.stopPropagation() // ComfyUI has other uses for them
    }

    destroy() {
        for (const observer of this.observers) observer.disconnect()
        this.load(0, 1)
    }

    #restart() {
        cancelAnimationFrame(this.#request)
        this.#request = null
        this.#run()
        this.draw()
    }

    #run() {
        const runs = this.playing && this.#visible && this.count > 1
        if (runs && this.#request === null) {
            this.#since = performance.now() - (this.frame / (this.fps * this.speed)) * 1000
            this.#request = requestAnimationFrame(this.#tick)
        } else if (!runs) {
            cancelAnimationFrame(this.#request)
            this.#request = null
        }
    }

    #tick = (now) => {
        this.#request = requestAnimationFrame(this.#tick)
        const passed = Math.max(0, Math.floor(((now - this.#since) / 1000) * this.fps * this.speed))
        if (this.mode === "once" && passed >= this.count) {
            this.frame = this.count - 1
            return this.play(false)
        }
        const frame = this.#frameAfter(passed)
        if (frame === this.frame) return
        this.frame = frame
        this.draw()
    }

    /** Return the frame that is shown when as many frames have passed since the first. */
    #frameAfter(passed) {
        if (this.mode !== "ping-pong") return passed % this.count
        const turn = 2 * (this.count - 1), at = passed % turn
        return at < this.count ? at : turn - at
    }
}
