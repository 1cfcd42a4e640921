// What every page does: ask the server, say what went wrong, show which model answers and whether it is ready.

const READY_INTERVAL_MS = 5000;
// This file lies in /ui/ of the server, whatever stands in front of it.
export const ROOT = new URL("..", import.meta.url);

export const at = (id) => document.getElementById(id);

export function copyOf(id) {
  return at(id).content.cloneNode(true);
}

export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

// Where a server has keys: kept until this tab is closed, and asked for once.
const KEY = "loopline-api-key";
let mayAskForKey = true;

// True where there is another key to try than the one that was refused.
function foundKey(refused) {
  if (sessionStorage.getItem(KEY) !== refused) return true;
  const given = mayAskForKey ? window.prompt("This server needs an API key. Yours:") : null;
  mayAskForKey = false;
  if (given) sessionStorage.setItem(KEY, given.trim());
  return Boolean(given);
}

// Resolves to the JSON of a success; rejects with {message, next} for everything else, a dead server included.
export async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = key === null ? options.headers : { ...options.headers, Authorization: `Bearer ${key}` };
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...options, headers });
    if (response.status === 401 && foundKey(key)) return ask(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw { message: "The server does not answer.", next: "Is it running? Start it again with loopline ui MODEL." };
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  throw body?.error ?? { message: `The server answered ${response.status}.`, next: null };
}

export function jsonOf(value) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) };
}

export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function notify(text) {
  at("notice").textContent = text;
  at("notice").hidden = text === "";
}

// --- the model -------------------------------------------------------------------------------------------------------

const TASK_WORDS = {
  classification: (model) => `${model.label_names.length} labels`,
  regression: (model) => (model.unit ? `a value in ${model.unit}` : "a value"),
  translation: () => "a translation",
};

// Shows the head of the page; resolves to the model once the server tells.
export async function showModel() {
  showState();
  setInterval(showState, READY_INTERVAL_MS);
  let model = null;
  while (model === null) {
    try {
      model = await ask("model");
    } catch (error) {
      at("facts").textContent = error.message;
      await new Promise((resolve) => setTimeout(resolve, READY_INTERVAL_MS));
    }
  }
  document.title = `${model.model} · Loopline`;
  // A model served from its folder is named by the path; the last part says enough.
  at("model").textContent = model.model.split(/[\\/]/).at(-1);
  const digest = element("code", "", model.bundle_digest.slice(0, 12));
  digest.title = model.bundle_digest;
  const dataset = model.dataset.replace(/@(.{12}).*/, "@$1");
  at("facts").replaceChildren(`${TASK_WORDS[model.task](model)} · trained on ${dataset} · bundle `, digest);
  return model;
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
