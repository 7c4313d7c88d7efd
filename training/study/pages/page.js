// Keys answer for the rater: only when all pictures are there, never twice, and never by a key held down. Without this
// script the page works by its buttons.
"use strict";

const form = document.getElementById("answer");
const back = document.getElementById("back");
const toggle = document.querySelector("#keys input");
let sent = false;

function remembered() {
  try { return localStorage.getItem("study-keys") !== "off"; } catch { return true; }
}

if (toggle) {
  toggle.parentElement.hidden = false;
  toggle.checked = remembered();
  toggle.addEventListener("change", () => {
    try { localStorage.setItem("study-keys", toggle.checked ? "on" : "off"); } catch { /* it counts for this page only */ }
  });
}

if (form) {
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  // A page that the browser kept and shows again may answer again.
  addEventListener("pageshow", () => { sent = false; });
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input:not([type=checkbox])")) return;
  if (toggle && !toggle.checked) return;
  if (event.key === "Backspace" && back) {
    event.preventDefault();
    back.click();
    return;
  }
  if (!form || sent || ![...form.querySelectorAll("img")].every((img) => img.complete && img.naturalWidth > 0)) return;
  // On a French keyboard the key that says 1 gives "&" without Shift.
  const key = event.code.startsWith("Digit") ? event.code.slice(5) : event.key;
  const button = [...form.querySelectorAll("button")].find((b) => b.dataset.keys.split(" ").includes(key));
  if (button) {
    event.preventDefault();
    button.click();
  }
});
