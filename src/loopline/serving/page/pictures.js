// The page for pictures: several files at once, dropped, pasted, or taken with the camera.
import { at, notify, showModel } from "./server.js";
import { formOf, predict, takeFiles, useModel } from "./cards.js";

let camera = null;

function predictFiles(files) {
  notify("");
  for (const file of files) predict({ name: file.name, options: formOf([file]), picture: file });
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
  notify("");
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
  takeFiles(predictFiles);
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) predictFiles(event.clipboardData.files);
    else notify("There is no picture in the clipboard.");
  });
  at("camera-open").addEventListener("click", openCamera);
  at("camera-close").addEventListener("click", closeCamera);
  at("camera-take").addEventListener("click", takePicture);
}

listen();
const model = await showModel();
const megabytes = Math.floor(model.limits.max_body_bytes / 1e6);
at("limits").textContent = `PNG, JPEG, WebP, GIF or BMP, up to ${megabytes} MB each`;
useModel(model);
