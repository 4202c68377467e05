// The page of a preference study: asks, shows the pair, sends the choice. Which system made which video is not known here.

const $ = id => document.getElementById(id)
const VIDEOS = { left: $("left"), right: $("right"), source: $("source") }
const PAIR = [VIDEOS.left, VIDEOS.right]
const HINT = "Look at the videos only: how sharp, steady and natural they are."
const KEYS = {
  f: () => choose("left"), arrowleft: () => choose("left"),
  j: () => choose("right"), arrowright: () => choose("right"),
  r: play, backspace: back,
}
const PAUSE = 400 // milliseconds between the end of the videos and their next start, and in which no key answers

let rater = sessionStorage.getItem("rater")
let current = null // what the server said of the question on the page
let filled = null // the question whose videos are in the page, all of them
let open // whether a choice is taken
let stuck = false // whether the question could not be shown

async function ask(address, options) {
  const response = await fetch(address, options).catch(() => {
    throw new Error("The study does not answer: it may have been stopped. Once it runs again, press a key again.")
  })
  if (response.ok) return response
  const { error } = await response.json()
  throw Object.assign(new Error(error), { status: response.status })
}

/** Runs what a key or a button started, and says so when it went wrong. */
async function attempt(work) {
  try {
    await work()
    stuck = false
    $("problem").hidden = true
  } catch (error) {
    stuck = !open
    $("problem").textContent = error.message
    $("problem").hidden = false
  }
}

function screen(name) {
  for (const id of ["start", "ask", "done"]) $(id).hidden = id !== name
  for (const id of ["who", "place", "progress"]) $(id).hidden = name === "start"
  if (name === "start") $("name").focus()
}

function take(choices) {
  open = choices
  for (const side of ["left", "right"]) $(`choose-${side}`).ariaDisabled = String(!choices)
}

/** Shows the question of that number, or the first that is not answered yet. */
async function show(number) {
  take(false)
  const query = new URLSearchParams({ rater, ...(number === undefined ? {} : { number }) })
  const question = await (await ask(`/api/question?${query}`)).json()
  $("rater").textContent = rater
  $("progress").max = question.total
  $("progress").value = question.answered
  const samePair = filled?.left === question.left && filled?.right === question.right
  current = question
  if (!question.id) {
    $("place").textContent = `${question.total / 2} pairs done`
    screen("done")
    return
  }
  $("place").textContent =
    `pair ${Math.floor(question.number / 2) + 1} of ${question.total / 2}, question ${(question.number % 2) + 1} of 2`
  $("question").textContent = question.question
  $("prompt").textContent = question.kind === "text" ? `“${question.prompt}”` : HINT
  $("ask").dataset.kind = question.kind
  $("back").disabled = question.number === 0
  mark(question.chosen)
  screen("ask")
  if (!samePair) await load(question)
  setTimeout(() => { if (current === question) take(true) }, PAUSE)
}

function mark(side) {
  for (const name of ["left", "right"]) $(`choose-${name}`).classList.toggle("chosen", name === side)
}

/** Fetches the videos whole before any plays, so that they start together. */
async function load(question) {
  filled = null
  $("ask").classList.add("loading")
  $("ask").classList.toggle("with-source", Boolean(question.source))
  $("source-box").hidden = !question.source
  try {
    await Promise.all(Object.keys(VIDEOS).map(name => fill(name, question)))
  } catch (error) {
    if (current === question) throw error
  }
  if (current !== question) return // the rater went back meanwhile
  const ratio = Math.max(...PAIR.map(video => video.videoWidth / video.videoHeight))
  $("ask").style.setProperty("--ratio", ratio)
  $("ask").classList.remove("loading")
  filled = question
  play()
}

async function fill(name, question) {
  const video = VIDEOS[name]
  if (video.src) URL.revokeObjectURL(video.src)
  video.removeAttribute("src")
  video.load() // lets go of the old video
  if (!question[name]) return
  const content = await (await ask(`/video/${question[name]}`)).blob()
  if (current !== question) return // the element is another question's by now
  await new Promise((loaded, failed) => {
    video.oncanplay = loaded
    video.onerror = () => failed(new Error("This browser cannot play a video of this pair: try Chrome or Firefox."))
    video.src = URL.createObjectURL(content)
  })
  video.oncanplay = video.onerror = null
}

/** Starts all videos at their first frame, together. */
async function play() {
  const videos = Object.values(VIDEOS).filter(video => video.src)
  await Promise.all(videos.map(rewind))
  for (const video of videos) video.play().catch(() => {}) // another pair came before it started
}

function rewind(video) {
  video.pause()
  return new Promise(done => {
    video.addEventListener("seeked", done, { once: true })
    setTimeout(done, PAUSE) // at the end of a video, WebKitGTK does not tell that it went back
    video.currentTime = 0
  })
}

for (const video of PAIR) {
  video.addEventListener("ended", () => setTimeout(() => { if (PAIR.every(other => other.ended)) play() }, PAUSE))
}

function choose(side) {
  if (!open) return
  take(false)
  mark(side)
  const question = current
  attempt(async () => {
    try {
      const body = JSON.stringify({ rater, id: question.id, choice: side })
      await ask("/api/answer", { method: "POST", headers: { "Content-Type": "application/json" }, body })
    } catch (error) {
      mark(question.chosen)
      take(true)
      if (error.status === 409) { // the study was started anew, and its names are others
        current = null
        await show()
      }
      throw error
    }
    await show()
  })
}

function back() {
  const number = current?.id ? current.number : current?.total
  if (number) attempt(() => show(number - 1))
}

function signIn(name) {
  rater = name
  sessionStorage.setItem("rater", name)
  current = null
  attempt(() => show())
}

document.addEventListener("keydown", event => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || !$("start").hidden) return
  const action = KEYS[event.key.toLowerCase()] ?? KEYS[event.code.replace("Key", "").toLowerCase()]
  if (!action) return
  event.preventDefault()
  if (stuck) attempt(() => show())
  else action()
})
$("name-form").addEventListener("submit", event => {
  event.preventDefault()
  signIn($("name").value.trim())
})
for (const side of ["left", "right"]) $(`choose-${side}`).addEventListener("click", () => choose(side))
$("replay").addEventListener("click", play)
$("back").addEventListener("click", back)
$("review").addEventListener("click", back)
$("change").addEventListener("click", () => {
  sessionStorage.removeItem("rater")
  $("name").value = ""
  screen("start")
})

if (rater) signIn(rater)
else screen("start")
