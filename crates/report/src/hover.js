"use strict";
// Shows step, loss and bound under the pointer. Without it the picture is a picture.
for (const picture of document.querySelectorAll("img[data-rows]")) {
  const [left, right, top, bottom, first, last] = picture.dataset.frame.split(" ").map(Number);
  const rows = picture.dataset.rows.split(";").map((row) => row.split(" "));
  const tip = document.createElement("span"), line = document.createElement("span");
  tip.className = "tip"; line.className = "line"; tip.hidden = line.hidden = true;
  picture.parentNode.append(line, tip);
  const hide = () => { tip.hidden = line.hidden = true; };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect(), x = (event.clientX - box.left) / box.width;
    if (x < left || x > right) { hide(); return; }
    const t = first + (x - left) / (right - left) * (last - first);
    let row = rows[0];
    for (const other of rows) if (Math.abs(other[0] - t) < Math.abs(row[0] - t)) row = other;
    tip.textContent = "t = " + row[0] + ", loss " + row[1] + (row[2] ? ", bound " + row[2] + " (" + picture.dataset.name + ")" : "");
    tip.hidden = line.hidden = false;
    const at = picture.offsetLeft + x * box.width;
    line.style.left = at + "px";
    line.style.top = picture.offsetTop + top * box.height + "px";
    line.style.height = (bottom - top) * box.height + "px";
    tip.style.top = picture.offsetTop + "px";
    tip.style.left = Math.max(0, Math.min(at - tip.offsetWidth / 2, picture.parentNode.clientWidth - tip.offsetWidth)) + "px";
  });
  picture.addEventListener("pointerleave", hide);
}
