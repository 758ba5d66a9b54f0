// The rules editor: line numbers, and what is wrong under the line as one types. The server reads the rules; this shows.
"use strict";

const box = document.querySelector("textarea[data-problems]");
const state = document.getElementById("state");
const list = document.getElementById("problems");
const numbers = layer("numbers");
const marks = layer("marks");
const PAUSE = 350; // milliseconds without a key until the server is asked
let waiting, asked;

function layer(name) {
  const made = document.createElement("pre");
  made.className = name;
  made.setAttribute("aria-hidden", "true");
  box.parentElement.append(made);
  return made;
}

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

// Columns count characters, and JavaScript counts halves of some.
function offset(line, column) {
  return Array.from(line).slice(0, column - 1).join("").length;
}

function told(problem) {
  return problem.hint ? `${problem.message} (${problem.hint})` : problem.message;
}

function scroll() {
  numbers.scrollTop = marks.scrollTop = box.scrollTop;
  marks.scrollLeft = box.scrollLeft;
}

function drawNumbers(wrong) {
  const count = box.value.split("\n").length;
  const lines = Array.from({ length: count }, (_, place) => element("span", wrong.get(place + 1) || "", `${place + 1}\n`));
  numbers.replaceChildren(...lines);
}

function drawMarks(problems) {
  const byLine = new Map();
  for (const each of problems) byLine.set(each.line, [...(byLine.get(each.line) || []), each]);
  const parts = [];
  box.value.split("\n").forEach((line, place) => {
    const here = byLine.get(place + 1);
    if (here) {
      const first = here[0];
      const start = offset(line, first.column);
      const end = Math.max(start + 1, offset(line, first.column + first.length));
      const text = element("span", "", "");
      text.append(line.slice(0, start), element("u", first.severity, line.slice(start, end) || " "), line.slice(end));
      const mark = element("mark", first.severity, "");
      mark.append(...words(here.map(told).join("; ")));
      const both = element("div", "", "");
      both.append(text, mark);
      parts.push(both);
    } else parts.push(`${line}\n`);
  });
  marks.replaceChildren(...parts);
  drawNumbers(new Map([...byLine].map(([line, here]) => [line, here[0].severity])));
  scroll();
}

function goTo(problem) {
  const lines = box.value.split("\n");
  const start = lines.slice(0, problem.line - 1).join("\n").length + (problem.line > 1 ? 1 : 0);
  const line = lines[problem.line - 1] || "";
  const from = start + offset(line, problem.column);
  box.focus();
  box.setSelectionRange(from, start + offset(line, problem.column + problem.length));
  box.scrollTop = (problem.line - 5) * parseFloat(getComputedStyle(box).lineHeight);
}

// What stands in backticks is code.
function words(text) {
  return text.split("`").map((each, place) => (place % 2 ? element("code", "", each) : each));
}

function show(answer) {
  state.textContent = answer.told;
  list.replaceChildren(...answer.problems.map((each) => {
    const item = document.createElement("li");
    const place = element("button", "small", `Line ${each.line}, column ${each.column}`);
    place.type = "button";
    place.addEventListener("click", () => goTo(each));
    item.append(place, " ", ...words(told(each)));
    return item;
  }));
  drawMarks(answer.problems);
}

async function ask() {
  asked?.abort();
  asked = new AbortController();
  try {
    const body = new URLSearchParams({ text: box.value, seen: box.form.seen.value });
    const answer = await fetch(box.dataset.problems, { method: "POST", body, signal: asked.signal });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    document.querySelector(".checked")?.remove(); // what was told of the text as it was
  } catch (problem) {
    if (problem.name !== "AbortError") state.textContent = "Not checked as you type: the page does not answer. Your text is still here.";
  }
}

// What was typed and not sent is kept nowhere.
let sent = false;
box.form.addEventListener("submit", () => { sent = true; });
window.addEventListener("beforeunload", (event) => {
  if (!sent && box.value !== box.defaultValue) event.preventDefault();
});

box.addEventListener("scroll", scroll);
box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(ask, PAUSE);
  marks.replaceChildren();
  drawNumbers(new Map());
  scroll();
});
drawNumbers(new Map());
ask();
