// The page asks the same routes as every other client: /model, /readyz, /predict and /feedback.
"use strict";

const NUM_BARS = 5;
const MAX_CARDS = 60;
// The server batches what arrives together; more at once would only fill its queue.
const MAX_IN_FLIGHT = 4;
const READY_INTERVAL_MS = 5000;
const ROOT = new URL("..", location.href);

const at = (id) => document.getElementById(id);
const waiting = [];
let numInFlight = 0;
let labelNames = [];
let camera = null;

function copyOf(id) {
  return at(id).content.cloneNode(true);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// Resolves to the JSON of a success; rejects with {message, next} for everything else, a dead server included.
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT), options);
  } catch {
    throw { message: "The server does not answer.", next: "Is it running? Start it again with loopline ui MODEL." };
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw body?.error ?? { message: `The server answered ${response.status}.`, next: null };
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function percent(probability) {
  const value = 100 * probability;
  const digits = value > 99.95 || value < 0.05 ? 0 : 1;
  return `${value.toFixed(digits)}\u00a0%`;
}

// --- the model -------------------------------------------------------------------------------------------------------

async function showModel() {
  try {
    const model = await ask("model");
    labelNames = model.label_names;
    document.title = `${model.model} · Loopline`;
    // A model served from its folder is named by the path; the last part says enough.
    at("model").textContent = model.model.split(/[\\/]/).at(-1);
    const digest = element("code", "", model.bundle_digest.slice(0, 12));
    digest.title = model.bundle_digest;
    at("facts").replaceChildren(
      `${labelNames.length} labels · trained on ${model.dataset.replace(/@(.{12}).*/, "@$1")} · bundle `, digest,
    );
    const megabytes = Math.floor(model.limits.max_body_bytes / 1e6);
    at("limits").textContent = `PNG, JPEG, WebP, GIF or BMP, up to ${megabytes} MB each`;
  } catch (error) {
    at("facts").textContent = error.message;
  }
}

async function showState() {
  const state = at("state");
  const show = (name, text) => {
    // Writing the same text again would make a screen reader say it again.
    if (state.dataset.state === name) return;
    state.dataset.state = name;
    state.textContent = text;
  };
  try {
    const response = await fetch(new URL("readyz", ROOT));
    if (response.ok) show("ready", "ready");
    else show("unready", "not ready");
  } catch {
    show("away", "no connection");
  }
}

// --- pictures and answers --------------------------------------------------------------------------------------------

function predictFiles(files) {
  at("notice").hidden = true;
  for (const file of files) {
    waiting.push({ file, card: addCard(file) });
  }
  startWaiting();
}

function startWaiting() {
  while (numInFlight < MAX_IN_FLIGHT && waiting.length > 0) {
    numInFlight += 1;
    predictOne(waiting.shift()).finally(() => {
      numInFlight -= 1;
      startWaiting();
    });
  }
}

function addCard(file) {
  const card = copyOf("card").firstElementChild;
  const image = card.querySelector("img");
  image.alt = file.name || "The picture you gave";
  image.addEventListener("load", () => image.classList.toggle("tiny", image.naturalWidth < 100));
  image.addEventListener("error", () => card.querySelector(".picture").classList.add("broken"));
  image.src = URL.createObjectURL(file);
  card.querySelector(".name").textContent = file.name;
  const cards = at("cards");
  cards.prepend(card);
  while (cards.children.length > MAX_CARDS) removeCard(cards.lastElementChild);
  at("empty").hidden = true;
  at("clear").hidden = false;
  return card;
}

function removeCard(card) {
  URL.revokeObjectURL(card.querySelector("img").src);
  card.remove();
}

async function predictOne({ file, card }) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  const said = card.querySelector(".said");
  try {
    const answer = await ask("predict", { method: "POST", body: form });
    said.replaceChildren(answerOf(answer));
  } catch (error) {
    card.classList.add("refused");
    said.replaceChildren(element("p", "refusal", sentence(error.message)));
    if (error.next) said.append(element("p", "advice", sentence(error.next)));
  }
}

function answerOf(answer) {
  const shown = copyOf("answer");
  shown.querySelector(".label").textContent = answer.label;
  shown.querySelector(".confidence").textContent = percent(answer.confidence);
  const top = Object.entries(answer.probabilities).slice(0, NUM_BARS);
  shown.querySelector(".bars").replaceChildren(...top.map(([label, probability]) => barOf(label, probability)));
  const company = answer.batch_size > 1 ? `, in a batch of ${answer.batch_size}` : "";
  shown.querySelector(".time").textContent = `${answer.timings_ms.total_ms.toFixed(1)} ms on the server${company}`;
  shown.querySelector("code").textContent = answer.request_id;
  prepareFeedback(shown.querySelector(".feedback"), answer);
  return shown;
}

function barOf(label, probability) {
  const bar = document.createElement("li");
  const what = element("span", "what", label);
  what.title = label;
  const track = element("span", "track", "");
  const fill = element("span", "fill", "");
  fill.style.width = `${100 * probability}%`;
  track.append(fill);
  bar.append(what, track, element("span", "much", percent(probability)));
  return bar;
}

function prepareFeedback(form, answer) {
  const select = form.querySelector("select");
  const button = form.querySelector("button");
  const said = form.querySelector(".feedback-said");
  for (const label of labelNames) {
    if (label !== answer.label) select.add(new Option(label, label));
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const body = JSON.stringify({ request_id: answer.request_id, label: select.value });
      const kept = await ask("feedback", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      said.className = "feedback-said";
      said.textContent = `Kept: it is ${kept.label}, not ${kept.predicted}.`;
    } catch (error) {
      said.className = "feedback-said bad";
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}

// --- where pictures come from ----------------------------------------------------------------------------------------

function notify(sentence) {
  at("notice").textContent = sentence;
  at("notice").hidden = false;
}

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    notify("This browser gives no camera to this page. It does so on https, or on localhost.");
    return;
  }
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    notify(error.name === "NotFoundError" ? "No camera was found." : "The camera was not allowed.");
    return;
  }
  at("notice").hidden = true;
  at("video").srcObject = camera;
  at("camera").hidden = false;
  at("camera-open").disabled = true;
  await at("video").play();
  at("camera-take").focus();
}

function closeCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  at("video").srcObject = null;
  at("camera").hidden = true;
  at("camera-open").disabled = false;
  at("camera-open").focus();
}

function takePicture() {
  const video = at("video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => predictFiles([new File([blob], "photograph.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
}

function listen() {
  at("files").addEventListener("change", (event) => {
    predictFiles(event.target.files);
    // So that the same file can be chosen again.
    event.target.value = "";
  });
  // The whole window takes a drop: a picture that misses the frame must not replace the page.
  const isOver = (over) => at("drop").classList.toggle("over", over);
  addEventListener("dragover", (event) => { event.preventDefault(); isOver(true); });
  addEventListener("dragleave", (event) => { if (event.relatedTarget === null) isOver(false); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    isOver(false);
    predictFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) predictFiles(event.clipboardData.files);
    else notify("There is no picture in the clipboard.");
  });
  at("camera-open").addEventListener("click", openCamera);
  at("camera-close").addEventListener("click", closeCamera);
  at("camera-take").addEventListener("click", takePicture);
  at("clear").addEventListener("click", () => {
    [...at("cards").children].forEach(removeCard);
    at("clear").hidden = true;
    at("empty").hidden = false;
    at("files").focus();
  });
}

listen();
showModel();
showState();
setInterval(showState, READY_INTERVAL_MS);
