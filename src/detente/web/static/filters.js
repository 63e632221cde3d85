"use strict";
// A filter counts when it is chosen; words when they are sent.
get("filters").addEventListener("change", (event) => { if (event.target.type !== "search") get("filters").requestSubmit(); });
get("filters").addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});

// A long search without a hit goes on by itself.
if (get("unfinished") && !document.querySelector(".hits")) location.replace(get("unfinished").dataset.next);
