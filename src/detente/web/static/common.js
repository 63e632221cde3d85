"use strict";
// What the scripts of all pages share. Whatever came from a model or a person enters a page as text only.
const get = (id) => document.getElementById(id);

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}

// The JSON of an address, with a body a POST; an error becomes one sentence.
async function ask(address, body) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const sent = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  let found;
  try {
    const answer = await fetch(address, sent);
    found = await answer.json();
  } catch {
    throw new Error("There is no answer from detente serve; is it still running?");
  }
  if (found.error) throw new Error(found.error);
  return found;
}

function trouble(sentence) {
  get("trouble").textContent = sentence;
  get("trouble").hidden = !sentence;
}

const wait = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Calls look again and again, while somebody can see the page.
async function keepLooking(seconds, look) {
  for (;;) {
    await wait(seconds);
    if (document.hidden) continue;
    try {
      await look();
      trouble("");
    } catch (error) {
      trouble(error.message);
    }
  }
}

// Puts HTML of the server in the place of other such HTML; what was open, ticked, in focus or scrolled stays so.
function swap(box, html) {
  const each = (selector) => [...box.querySelectorAll(selector)];
  const open = each("details").map((details) => details.open);
  const scrolled = each(".scroll").map((scroll) => scroll.scrollLeft);
  const ticked = new Set(each("input:checked").map((input) => input.value));
  const focused = box.contains(document.activeElement) ? each("input, a, button").indexOf(document.activeElement) : -1;
  box.innerHTML = html;
  each("details").forEach((details, i) => { details.open = Boolean(open[i]); });
  each(".scroll").forEach((scroll, i) => { scroll.scrollLeft = scrolled[i] ?? 0; });
  each("input[type=checkbox]").forEach((input) => { input.checked = ticked.has(input.value); });
  if (focused >= 0) each("input, a, button")[focused]?.focus({ preventScroll: true });
}
