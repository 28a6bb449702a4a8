// What the browser does by itself. gradio runs this once, in the hidden bridge; `trigger` calls Python.
// A button made in markup.py says in data-do which of these events it means and in data-id what it is about.
const EVENTS = ["do_why", "do_wrong", "do_undo", "do_edit", "do_face", "open_card", "close_card", "drop_photo", "forget", "face_off", "look_again"];

const box = () => document.querySelector("#box textarea");
const log = () => document.querySelector("#log");

// The examples speak of Lala until the person has taught something else.
function example(text) {
  const known = document.querySelector(".tile b")?.textContent;
  return known && !text.startsWith("/remember") ? text.replace("Lala", known) : text;
}

function fill(text) {
  const area = box();
  if (!area) return;
  area.value = text;
  area.dispatchEvent(new Event("input", { bubbles: true }));
  area.focus();
  area.setSelectionRange(text.length, text.length);
}

function show(view) {
  document.body.dataset.view = view;
  for (const tab of document.querySelectorAll("nav [data-view]")) {
    tab.setAttribute("aria-pressed", String(tab.dataset.view === view));
  }
}

// A button that destroys asks once more: the first press only changes what it says, for four seconds.
function sure(button) {
  if (!button.dataset.confirm || button.classList.contains("sure")) return true;
  const before = button.textContent;
  button.classList.add("sure");
  button.textContent = button.dataset.confirm;
  setTimeout(() => {
    button.classList.remove("sure");
    if (button.textContent === button.dataset.confirm) button.textContent = before;
  }, 4000);
  return false;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-do], [data-fill], nav [data-view]");
  if (!button) return;
  if (button.dataset.fill) return fill(example(button.dataset.fill));
  if (!button.dataset.do) return show(button.dataset.view);
  if (!EVENTS.includes(button.dataset.do) || !sure(button)) return;
  if (button.dataset.do === "do_edit") show("known");
  if (button.dataset.do === "do_face") show("chat"); // where the answer is told
  trigger(button.dataset.do, { name: button.dataset.id });
});

// Typing "/" leaves only the commands that begin like it.
function narrow() {
  const typed = (box()?.value ?? "").trimStart().toLowerCase();
  const word = typed.split(/\s/)[0];
  const searching = typed.startsWith("/") && word === typed;
  const chips = document.querySelector(".chips");
  chips?.classList.toggle("searching", searching);
  for (const chip of document.querySelectorAll(".chip")) {
    chip.hidden = searching && !chip.dataset.name.startsWith(word);
  }
}
document.addEventListener("input", (event) => event.target === box() && narrow());

// A photo may be dropped anywhere on the chat; the text box takes it.
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    const inside = event.target.closest?.("#log");
    if (!inside || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (kind === "dragover") return;
    const input = document.querySelector("#box input[type=file]");
    if (!input) return;
    const files = new DataTransfer();
    for (const file of event.dataTransfer.files) files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

// The newest line stays in sight, unless the person scrolled up to read.
let following = true;
let last = 0;
function bottom() {
  const pane = log();
  if (pane && following) pane.scrollTop = pane.scrollHeight;
}
document.addEventListener("scroll", (event) => {
  const pane = log();
  if (event.target !== pane) return;
  if (pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40) following = true;
  else if (pane.scrollTop < last - 4) following = false;
  last = pane.scrollTop;
}, true);
document.addEventListener("load", (event) => event.target.closest?.("#log") && bottom(), true);
document.addEventListener("keydown", (event) => {
  if (event.target === box() && event.key === "Enter" && !event.shiftKey) following = true;
}, true);
const growing = new MutationObserver(() => {
  bottom();
  narrow(); // the box is emptied when a message is sent, without an input event
});
const resizing = new ResizeObserver(bottom);
function watchLog() {
  if (!log()) return requestAnimationFrame(watchLog);
  growing.observe(log(), { childList: true, subtree: true, characterData: true });
  resizing.observe(log());
}
watchLog();

// gradio sends what comes of an event over a stream that it closes when nothing is left to tell. An event that is sent
// at that moment counts on the stream and is never heard of again, until the next one opens another. So where an event
// was sent during a stream, its end is followed by one that asks for nothing.
const fetched = window.fetch.bind(window);
let streams = 0;
let late = false;
window.fetch = async (...what) => {
  const path = new URL(what[0].url ?? what[0], location.href).pathname;
  const signal = what[0].signal ?? what[1]?.signal;
  if (path.endsWith("/queue/data") && signal) {
    streams += 1;
    signal.addEventListener("abort", () => {
      streams -= 1;
      if (late) setTimeout(() => trigger("look_again", {}), 50);
      late = false;
    }, { once: true });
  }
  const response = await fetched(...what);
  if (path.endsWith("/queue/join") && streams) late = true;
  return response;
};

// Another platform may have taught something meanwhile.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") trigger("look_again", {});
});

show("chat");
