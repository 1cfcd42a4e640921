// The page for examples of several bands: what is chosen or dropped together is one example.
import { at, notify, showModel } from "./server.js";
import { formOf, predict, takeFiles, useModel } from "./cards.js";

takeFiles((files) => {
  notify("");
  const names = files.map((file) => file.name).sort();
  const name = names.length === 1 ? names[0] : `${names.length} files: ${names.join(", ")}`;
  if (files.length > 0) predict({ name, options: formOf(files) });
});
const model = await showModel();
const megabytes = Math.floor(model.limits.max_body_bytes / 1e6);
at("limits").textContent = `One TIFF with all bands, or one TIFF for each band, up to ${megabytes} MB together`;
useModel(model);
