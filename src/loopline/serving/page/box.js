// The page for every other kind of example: typed into a box as JSON or text, or chosen as files.
import { at, jsonOf, notify, showModel } from "./server.js";
import { formOf, predict, takeFiles, useModel } from "./cards.js";

const NAME_LENGTH = 60;
let isText = false;

function predictTyped() {
  const typed = at("example").value;
  let options;
  if (isText) {
    options = jsonOf({ text: typed });
  } else {
    try {
      options = jsonOf({ values: JSON.parse(typed) });
    } catch (error) {
      notify(`This is no JSON: ${error.message}`);
      return;
    }
  }
  notify("");
  const line = typed.trim().replace(/\s+/g, " ");
  predict({ name: line.length > NAME_LENGTH ? `${line.slice(0, NAME_LENGTH)} …` : line, options });
}

at("box").addEventListener("submit", (event) => {
  event.preventDefault();
  predictTyped();
});
at("example").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predictTyped();
});
takeFiles((files) => {
  notify("");
  for (const file of files) predict({ name: file.name, options: formOf([file]) });
});
const model = await showModel();
isText = model.input_kind === "text";
at("files-button").hidden = at("files").disabled = isText;
const shape = model.inputs[0].shape.slice(1).join(" × ");
at("example-words").textContent = isText ? "Text" : `JSON: numbers of ${shape}`;
at("limits").textContent = "Ctrl + Enter predicts";
if (model.examples.length > 0 && at("example").value === "") {
  at("example").value = isText ? model.examples[0] : JSON.stringify(model.examples[0]);
}
useModel(model);
