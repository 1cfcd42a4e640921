// Answers as cards, newest first: what was asked, what the model says, and a way to tell it the truth.
import { ask, at, copyOf, element, jsonOf, sentence } from "./server.js";

const NUM_BARS = 5;
const MAX_CARDS = 60;
// The server batches what arrives together; more at once would only fill its queue.
const MAX_IN_FLIGHT = 4;

const waiting = [];
let numInFlight = 0;
let shown = null;

// The model that answers; before it is known, answers wait.
export function useModel(model) {
  shown = model;
  at("clear").addEventListener("click", () => {
    [...at("cards").children].forEach(removeCard);
    at("clear").hidden = true;
    at("empty").hidden = false;
    document.querySelector("main input, main textarea").focus();
  });
  startWaiting();
}

// Asks for one prediction: `options` of the request to /predict, a name, and a picture to show where there is one.
export function predict({ name, options, picture = null }) {
  waiting.push({ options, card: addCard(name, picture) });
  startWaiting();
}

export function formOf(files) {
  const form = new FormData();
  for (const file of files) form.append("file", file, file.name || "picture");
  return { method: "POST", body: form };
}

// Calls `use` with the files of each choice and each drop.
export function takeFiles(use) {
  at("files").addEventListener("change", (event) => {
    use([...event.target.files]);
    // So that the same file can be chosen again.
    event.target.value = "";
  });
  // The whole window takes a drop: a file that misses the frame must not replace the page.
  const isOver = (over) => document.querySelector(".source").classList.toggle("over", over);
  addEventListener("dragover", (event) => { event.preventDefault(); isOver(true); });
  addEventListener("dragleave", (event) => { if (event.relatedTarget === null) isOver(false); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    isOver(false);
    use([...event.dataTransfer.files]);
  });
}

function startWaiting() {
  while (shown !== null && numInFlight < MAX_IN_FLIGHT && waiting.length > 0) {
    numInFlight += 1;
    predictOne(waiting.shift()).finally(() => {
      numInFlight -= 1;
      startWaiting();
    });
  }
}

function addCard(name, picture) {
  const card = copyOf("card").firstElementChild;
  const frame = card.querySelector(".picture");
  if (picture === null) {
    frame.remove();
    card.classList.add("plain");
  } else {
    const image = frame.querySelector("img");
    image.alt = name || "The picture you gave";
    image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 100));
    image.addEventListener("error", () => frame.classList.add("broken"));
    image.src = URL.createObjectURL(picture);
  }
  card.querySelector(".name").textContent = name;
  const cards = at("cards");
  cards.prepend(card);
  while (cards.children.length > MAX_CARDS) removeCard(cards.lastElementChild);
  at("empty").hidden = true;
  at("clear").hidden = false;
  return card;
}

function removeCard(card) {
  const image = card.querySelector("img");
  if (image !== null) URL.revokeObjectURL(image.src);
  card.remove();
}

async function predictOne({ options, card }) {
  const said = card.querySelector(".said");
  try {
    said.replaceChildren(answerOf(await ask("predict", options)));
  } catch (error) {
    card.classList.add("refused");
    said.replaceChildren(element("p", "refusal", sentence(error.message)));
    if (error.next) said.append(element("p", "advice", sentence(error.next)));
  }
}

function answerOf(answer) {
  const card = copyOf("answer");
  TASKS[shown.task].show(card, answer);
  const company = answer.batch_size > 1 ? `, in a batch of ${answer.batch_size}` : "";
  card.querySelector(".time").textContent = `${answer.timings_ms.total_ms.toFixed(1)} ms on the server${company}`;
  card.querySelector("code").textContent = answer.request_id;
  prepareFeedback(card.querySelector(".feedback"), answer);
  return card;
}

function prepareFeedback(form, answer) {
  const task = TASKS[shown.task];
  const button = form.querySelector("button");
  const said = form.querySelector(".feedback-said");
  const field = task.field(answer);
  form.querySelector(".feedback-words span").textContent = task.question;
  form.querySelector(".feedback-words").append(field);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const kept = await ask("feedback", jsonOf({ request_id: answer.request_id, ...task.truth(field) }));
      said.className = "feedback-said";
      said.textContent = task.thanks(kept);
    } catch (error) {
      said.className = "feedback-said bad";
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

// --- labels ----------------------------------------------------------------------------------------------------------

function percent(probability) {
  const value = 100 * probability;
  const digits = value > 99.95 || value < 0.05 ? 0 : 1;
  return `${value.toFixed(digits)}\u00a0%`;
}

function barOf(label, probability) {
  const what = element("span", "what", label);
  what.title = label;
  const fill = element("span", "fill");
  fill.style.width = `${100 * probability}%`;
  return element("li", "", what, element("span", "track", fill), element("span", "much", percent(probability)));
}

const classification = {
  question: "Wrong? Correct label",
  show(card, answer) {
    card.querySelector(".label").textContent = answer.label;
    card.querySelector(".confidence").textContent = percent(answer.confidence);
    const top = Object.entries(answer.probabilities).slice(0, NUM_BARS);
    const bars = element("ol", "bars", ...top.map(([label, probability]) => barOf(label, probability)));
    bars.setAttribute("aria-label", "Likeliest labels");
    card.querySelector(".detail").append(bars);
  },
  field(answer) {
    const select = document.createElement("select");
    select.required = true;
    select.add(new Option("choose …", ""));
    for (const label of shown.label_names) {
      if (label !== answer.label) select.add(new Option(label, label));
    }
    return select;
  },
  truth: (select) => ({ label: select.value }),
  thanks: (kept) => `Kept: it is ${kept.label}, not ${kept.predicted}.`,
};

// --- values ----------------------------------------------------------------------------------------------------------

function number(value) {
  return String(Number(value.toPrecision(4)));
}

// A line from the least to the largest value that the model gave to held-out examples, with the interval on it.
function scaleOf({ value, interval }) {
  const ends = interval === null ? [value, value] : [interval.low, interval.high];
  const [least, most] = [Math.min(shown.value_range[0], ends[0]), Math.max(shown.value_range[1], ends[1])];
  const place = (at) => `${(100 * (at - least)) / (most - least || 1)}%`;
  const between = element("span", "between");
  between.style.left = place(ends[0]);
  between.style.width = `${(100 * (ends[1] - ends[0])) / (most - least || 1)}%`;
  const point = element("span", "point");
  point.style.left = place(value);
  const words = element("p", "scale-ends", element("span", "", number(least)), element("span", "", number(most)));
  return element("div", "scale", element("div", "line", between, point), words);
}

const regression = {
  question: "Known better? True value",
  show(card, answer) {
    const { interval } = answer;
    card.querySelector(".label").textContent = `${number(answer.value)} ${answer.unit ?? ""}`.trim();
    card.querySelector(".confidence").textContent = interval === null
      ? ""
      : `${number(interval.low)} to ${number(interval.high)} in ${number(100 * interval.coverage)}\u00a0% of cases`;
    card.querySelector(".detail").append(scaleOf(answer));
  },
  field() {
    const input = document.createElement("input");
    Object.assign(input, { type: "number", step: "any", required: true });
    return input;
  },
  truth: (input) => ({ value: input.valueAsNumber }),
  thanks(kept) {
    const side = kept.error > 0 ? "too high" : "too low";
    const off = kept.error === 0 ? "exactly right" : `${number(Math.abs(kept.error))} ${side}`;
    const held = { true: ", inside the interval", false: ", outside the interval", null: "" }[kept.inside];
    return `Kept: ${number(kept.predicted)} was ${off}${held}.`;
  },
};

const TASKS = { classification, regression };
