// The page of a translator: two panes, translated as you type, rated and corrected in place.
import { ask, at, element, jsonOf, notify, sentence, showModel } from "./server.js";

// Long enough that a word is not translated letter by letter: every request is a row in the log.
const PAUSE_MS = 600;

let timer = null;
let flight = null;
let answered = null;

function translateSoon() {
  clearTimeout(timer);
  timer = setTimeout(translate, PAUSE_MS);
}

async function translate() {
  clearTimeout(timer);
  flight?.abort();
  const text = at("question").value;
  at("clear").hidden = text === "";
  if (text.trim() === "") {
    show(null);
    return;
  }
  const mine = new AbortController();
  flight = mine;
  at("latency").textContent = "translating …";
  const started = performance.now();
  try {
    const answer = await ask("predict", { ...jsonOf({ text }), signal: mine.signal });
    show(answer, performance.now() - started);
  } catch (error) {
    if (error.name === "AbortError") return;
    show(null);
    notify(`${sentence(error.message)} ${sentence(error.next ?? "")}`.trim());
  }
}

function show(answer, roundTripMs = 0) {
  answered = answer;
  notify("");
  at("answer").value = answer?.text ?? "";
  at("answer").readOnly = true;
  at("latency").textContent = answer === null
    ? ""
    : `${answer.timings_ms.total_ms.toFixed(0)} ms on the server, ${roundTripMs.toFixed(0)} ms in all`;
  at("rating").hidden = answer === null;
  at("edit").hidden = false;
  at("send").hidden = true;
  at("request-id").textContent = answer?.request_id ?? "";
  said("");
  for (const id of ["up", "down"]) at(id).setAttribute("aria-pressed", "false");
}

function said(text, isBad = false) {
  at("rating-said").textContent = text;
  at("rating-said").classList.toggle("bad", isBad);
}

async function tell(truth) {
  const mine = answered;
  try {
    const kept = await ask("feedback", jsonOf({ request_id: mine.request_id, ...truth }));
    // Something else may have been translated meanwhile.
    if (mine !== answered) return;
    for (const id of ["up", "down"]) at(id).setAttribute("aria-pressed", String(kept.rating === id));
    said("text" in truth ? "Kept: your correction." : "Kept: your rating.");
  } catch (error) {
    said(error.message, true);
  }
}

function edit() {
  at("answer").readOnly = false;
  at("answer").focus();
  at("edit").hidden = true;
  at("send").hidden = false;
}

function exampleOf(text) {
  const button = element("button", "example", text);
  button.type = "button";
  button.addEventListener("click", () => {
    at("question").value = text;
    translate();
  });
  return element("li", "", button);
}

function listen() {
  at("question").addEventListener("input", translateSoon);
  at("clear").addEventListener("click", () => {
    at("question").value = "";
    translate();
    at("question").focus();
  });
  at("up").addEventListener("click", () => tell({ rating: "up" }));
  at("down").addEventListener("click", () => tell({ rating: "down" }));
  at("edit").addEventListener("click", edit);
  at("rating").addEventListener("submit", (event) => {
    event.preventDefault();
    tell({ text: at("answer").value });
  });
}

listen();
const model = await showModel();
at("examples").replaceChildren(...model.examples.map(exampleOf));
