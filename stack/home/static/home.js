// Brings the states up to date in place.
"use strict";

const MILLISECONDS = 3000;

function show(place) {
  const item = document.querySelector(`li[data-name="${CSS.escape(place.name)}"]`);
  item.dataset.state = place.state;
  item.querySelector(".state").textContent = place.label;
  const parts = Object.entries(place.parts).map(([name, status]) => {
    const part = document.createElement("span");
    part.dataset.status = status;
    part.textContent = name;
    return part;
  });
  item.querySelector(".parts").replaceChildren(...parts);
}

async function refresh() {
  const lost = document.getElementById("lost");
  try {
    (await (await fetch("/state")).json()).forEach(show);
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  setTimeout(refresh, MILLISECONDS);
}

setTimeout(refresh, MILLISECONDS);
