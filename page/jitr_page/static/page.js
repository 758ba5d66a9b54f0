// What the page does more comfortably with a script; it does all of it without one, too.
"use strict";

// Times in the reader's zone; UTC stays where the pointer rests.
const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.valueOf())) time.textContent = form.format(moment);
}

// One box that chooses all of a page.
for (const all of document.querySelectorAll("input[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of all.form.querySelectorAll(`input[name=${all.dataset.all}]`)) box.checked = all.checked;
  });
}

// A question before what takes something away.
for (const button of document.querySelectorAll("button[data-sure]")) {
  button.addEventListener("click", (event) => {
    if (!window.confirm(button.dataset.sure)) event.preventDefault();
  });
}

// A button that copies a command, or a line to paste.
for (const code of document.querySelectorAll("code.copy, .command code, .steps code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  });
  const line = document.createElement("span");
  line.className = "copied";
  code.replaceWith(line);
  line.append(code, button);
}

// A file dropped anywhere on the form is chosen.
for (const input of document.querySelectorAll("input[data-drop]")) {
  const place = input.closest("form");
  place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  });
}
