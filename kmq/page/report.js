"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function element(tag, content = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(content)) {
    if (name === "style" || name === "on") continue;
    if (name === "text") node.textContent = value;
    else node.setAttribute(name, value);
  }
  Object.assign(node.style, content.style);
  for (const [event, heard] of Object.entries(content.on ?? {})) node.addEventListener(event, heard);
  node.append(...children);
  return node;
}

function drawn(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const digits = (value, n) => value.toLocaleString("en", { maximumSignificantDigits: n });
const share = (value) => (100 * value).toFixed(value < 0.0995 ? 2 : 1) + " %";
const size = (n) => (n < 1000 ? `${n} B` : n < 1e6 ? `${digits(n / 1e3, 3)} kB` : `${digits(n / 1e6, 3)} MB`);
const time = (s) => (s < 1 ? `${digits(s * 1e3, 3)} ms` : `${digits(s, 3)} s`);
const colours = (n) => `${digits(n, 9)} distinct colour${n === 1 ? "" : "s"}`;
const decibels = (value) => (value === null ? "∞" : `${value.toFixed(2)} dB`);

let chosen = 0;

/* Before and after */

const slider = $("slider");
function cut() {
  $("stage").style.setProperty("--cut", `${slider.value / 10}%`);
  slider.setAttribute("aria-valuetext", `${Math.round(slider.value / 10)} % original`);
}
slider.addEventListener("input", cut);
// A native step is a thousandth of the width, right for a drag and tedious by keyboard.
slider.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (!way) return;
  event.preventDefault();
  slider.value = Number(slider.value) + way * (event.shiftKey ? 100 : 20);
  cut();
});
// Where a native thumb is grabbed depends on the browser: the cut follows the pointer itself.
function follow(event) {
  const box = slider.getBoundingClientRect();
  slider.value = Math.round((1000 * (event.clientX - box.left)) / box.width);
  cut();
}
slider.addEventListener("pointerdown", (event) => {
  slider.setPointerCapture(event.pointerId);
  slider.focus();
  event.preventDefault();
  follow(event);
});
slider.addEventListener("pointermove", (event) => {
  if (slider.hasPointerCapture(event.pointerId)) follow(event);
});

/* Colours in space */

const canvas = $("cloud");
const bytes = Uint8Array.from(atob(data.cloud.points), (c) => c.charCodeAt(0));
const points = [];
for (let i = 0; i < bytes.length; i += 4) points.push([...bytes.subarray(i, i + 4)]);
const START = { yaw: 0.95, pitch: 0.35, zoom: 1 };
let view = { ...START };
let hues = [];

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function paint() {
  const centers = data.fits[chosen].colors.map((color) => rgb(color.hex));
  const nearest = $("nearest").checked && centers.length;
  hues = points.map((point) => {
    if (!nearest) return `rgb(${point[0]} ${point[1]} ${point[2]})`;
    let best = 0;
    let least = Infinity;
    centers.forEach((center, j) => {
      const away =
        (point[0] - center[0]) ** 2 + (point[1] - center[1]) ** 2 + (point[2] - center[2]) ** 2;
      if (away < least) [best, least] = [j, away];
    });
    return data.fits[chosen].colors[best].hex;
  });
  turn();
}

let pending = 0;
function turn() {
  pending ||= requestAnimationFrame(drawCloud);
}

function drawCloud() {
  pending = 0;
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const scale = (view.zoom * Math.min(width, height)) / 480;
  const [cosY, sinY] = [Math.cos(view.yaw), Math.sin(view.yaw)];
  const [cosP, sinP] = [Math.cos(view.pitch), Math.sin(view.pitch)];
  const project = ([red, green, blue]) => {
    const [x, y, z] = [red - 127.5, blue - 127.5, green - 127.5];
    const [right, back] = [x * cosY - y * sinY, x * sinY + y * cosY];
    const depth = back * cosP - z * sinP;
    const near = 900 / (900 + depth);
    return [
      width / 2 + right * near * scale,
      height / 2 - (z * cosP + back * sinP) * near * scale,
      depth,
      near,
    ];
  };
  const style = getComputedStyle(document.body);
  context.strokeStyle = style.getPropertyValue("--line");
  drawCube(context, project);
  drawMarks(context, project, scale);
  drawNames(context, project, style);
}

function drawMarks(context, project, scale) {
  const marks = points.map((point, i) => [...project(point), hues[i], 0.8 + point[3] / 90, false]);
  for (const color of data.fits[chosen].colors) {
    marks.push([...project(rgb(color.hex)), color.hex, 4 + 14 * Math.cbrt(color.share), true]);
  }
  marks.sort((a, b) => b[2] - a[2]);
  for (const [x, y, , near, hue, radius, center] of marks) {
    context.fillStyle = hue;
    const r = radius * near * (center ? Math.sqrt(scale) : scale);
    if (!center) {
      context.fillRect(x - r, y - r, 2 * r, 2 * r);
      continue;
    }
    context.beginPath();
    context.arc(x, y, r, 0, 7);
    context.fill();
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.stroke();
    context.lineWidth = 1.5;
    context.strokeStyle = "#fff";
    context.stroke();
  }
}

const cornerBy = (project) => (i) => project([i & 1, (i >> 1) & 1, i >> 2].map((bit) => 255 * bit));

function drawCube(context, project) {
  const corner = cornerBy(project);
  context.lineWidth = 1;
  for (let i = 0; i < 8; i++) {
    for (const bit of [1, 2, 4]) {
      if (i & bit) continue;
      const [from, to] = [corner(i), corner(i | bit)];
      context.beginPath();
      context.moveTo(from[0], from[1]);
      context.lineTo(to[0], to[1]);
      context.stroke();
    }
  }
}

/* Names of corners lie above the points, on a rim of the card's colour. */
function drawNames(context, project, style) {
  const corner = cornerBy(project);
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = style.getPropertyValue("--card");
  context.fillStyle = style.getPropertyValue("--text");
  const [ox, oy] = corner(0);
  for (const [i, name] of [[0, "black"], [1, "red"], [2, "green"], [4, "blue"], [7, "white"]]) {
    const [x, y] = corner(i);
    const away = i ? Math.hypot(x - ox, y - oy) || 1 : 1;
    const place = [x + (i ? (16 * (x - ox)) / away : 0), y + (i ? (12 * (y - oy)) / away : 14) + 4];
    context.strokeText(name, ...place);
    context.fillText(name, ...place);
  }
}

canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener("pointermove", (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  rotate(event.movementX / 120, event.movementY / 120);
});
canvas.addEventListener("keydown", (event) => {
  const step = {
    ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12],
  }[event.key];
  if (step) rotate(...step);
  else if (event.key === "+" || event.key === "=") zoom(1.1);
  else if (event.key === "-") zoom(1 / 1.1);
  else return;
  event.preventDefault();
});
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && document.activeElement !== canvas) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 500));
}, { passive: false });
function rotate(yaw, pitch) {
  view.yaw -= yaw;
  view.pitch = Math.max(-1.57, Math.min(1.57, view.pitch + pitch));
  turn();
}
function zoom(factor) {
  view.zoom = Math.max(0.5, Math.min(6, view.zoom * factor));
  turn();
}
$("reset").addEventListener("click", () => {
  view = { ...START };
  turn();
});
$("nearest").addEventListener("change", paint);
new ResizeObserver(turn).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", turn);

/* Palette */

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard from pages that are not served safely.
    const field = element("textarea", { style: { position: "fixed", opacity: 0 } });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  $("copied").textContent = `${text} copied`;
}

function showPalette(colors) {
  $("strip").replaceChildren(
    ...colors.map((color) =>
      element("span", { style: { background: color.hex, flex: `${Math.max(color.share, 0.002)} 1 0` } })
    )
  );
  $("swatches").replaceChildren(
    ...colors.map((color) =>
      element("li", {}, element(
        "button",
        { type: "button", title: `Copy ${color.hex}`, on: { click: () => copy(color.hex) } },
        element("span", { class: "patch", style: { background: color.hex } }),
        element("span", { class: "hex", text: color.hex }),
        element("span", { class: "share", text: share(color.share) })
      ))
    )
  );
}

/* Against k */

const CHARTS = [
  ["cost", "Cost", (fit) => fit.cost, (v) => digits(v, 4)],
  ["seconds", "Time", (fit) => fit.seconds, time],
  ["bytes", "Bytes of the PNG", (fit) => fit.bytes, size],
];

function chart([id, title, value, label]) {
  const [width, height, left, bottom, top] = [330, 200, 62, 26, 12];
  const values = data.fits.map(value);
  const most = Math.max(...values) || 1;
  const ticks = niceTicks(most);
  const highest = Math.max(most, ticks[ticks.length - 1]);
  const logs = data.fits.map((fit) => Math.log2(fit.k));
  const [first, last] = [logs[0], logs[logs.length - 1]];
  const x = (i) =>
    left + 14 + ((width - left - 28) * (last > first ? (logs[i] - first) / (last - first) : 0.5));
  const y = (v) => height - bottom - ((height - bottom - top) * v) / highest;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, id: `chart-${id}`, role: "group" });
  for (const tick of ticks) {
    svg.append(drawn("line", { class: "grid", x1: left, x2: width, y1: y(tick), y2: y(tick) }));
    svg.append(drawn("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, label(tick)));
  }
  let clear = -Infinity;
  data.fits.forEach((fit, i) => {
    if (x(i) < clear) return;
    svg.append(drawn("text", { x: x(i), y: height - 8, "text-anchor": "middle" }, String(fit.k)));
    clear = x(i) + 22;
  });
  svg.append(drawn("polyline", { class: "curve", points: values.map((v, i) => `${x(i)},${y(v)}`).join(" ") }));
  values.forEach((v, i) => {
    const dot = drawn("circle", { cx: x(i), cy: y(v), r: 5 },
      drawn("title", {}, `k = ${data.fits[i].k}: ${label(v)}`));
    dot.addEventListener("click", () => choose(i));
    svg.append(dot);
  });
  return element("figure", {}, element("figcaption", { text: `${title} against k` }), svg);
}

function niceTicks(most) {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => most / s <= 5);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, i) => i * step);
}

const COLUMNS = [
  ["k", (fit) => String(fit.k)],
  ["colours", (fit) => String(fit.colors.length)],
  ["cost", (fit) => fit.cost.toFixed(2)],
  ["PSNR", (fit) => decibels(fit.psnr)],
  ["ΔE2000 mean", (fit) => fit.delta_e_mean.toFixed(2)],
  ["ΔE2000 p95", (fit) => fit.delta_e_p95.toFixed(2)],
  ["iterations", (fit) => String(fit.iterations)],
  ["time", (fit) => time(fit.seconds)],
  ["bytes", (fit) => size(fit.bytes)],
];

/* All together */

function choose(i) {
  chosen = i;
  const fit = data.fits[i];
  $("tabs").querySelectorAll("input")[i].checked = true;
  $("after").src = fit.picture;
  $("after").alt = `The picture in ${fit.colors.length} colours`;
  $("figures").replaceChildren(
    ...COLUMNS.slice(1).map(([name, text]) =>
      element("div", {}, element("dt", { text: name }), element("dd", { text: text(fit) }))
    )
  );
  showPalette(fit.colors);
  for (const svg of document.querySelectorAll("#charts svg")) {
    svg.querySelectorAll("circle").forEach((dot, j) => dot.classList.toggle("chosen", i === j));
  }
  document.querySelectorAll("#table tbody tr").forEach((row, j) => row.classList.toggle("chosen", i === j));
  paint();
}

function build() {
  const notes = [`${data.width} × ${data.height} pixels`, colours(data.distinct)];
  if (data.bytes !== null) notes.push(size(data.bytes));
  $("name").textContent = data.name || "A picture in few colours";
  $("facts").textContent = notes.join(" · ");
  if (data.shown) $("shown").textContent = `Shown at ${data.shown.join(" × ")}; the figures are of the whole picture.`;
  $("before").src = data.picture;
  if (data.width < 200 && data.height < 200) {
    $("stage").classList.add("small");
    $("after").style.width = `${data.width * Math.floor(400 / Math.max(data.width, data.height))}px`;
  }
  $("tabs").replaceChildren(
    ...data.fits.map((fit, i) => {
      const input = element("input", { type: "radio", name: "k", value: fit.k, on: { change: () => choose(i) } });
      return element("label", {}, input, element("span", { text: `k = ${fit.k}` }));
    })
  );
  const many = data.cloud.of > points.length ? `${digits(points.length, 9)} of ` : "";
  $("cloud-note").textContent =
    `${many}${colours(data.cloud.of)}; rings are the palette. Drag or use the arrow keys to turn.`;
  $("charts").replaceChildren(...CHARTS.map(chart));
  $("table").replaceChildren(
    element("thead", {}, element("tr", {}, ...COLUMNS.map(([name]) => element("th", { scope: "col", text: name })))),
    element("tbody", {}, ...data.fits.map((fit) =>
      element("tr", {}, ...COLUMNS.map(([, text]) => element("td", { text: text(fit) })))))
  );
  const how = [`seed ${data.seed}`, `error minimised in ${data.space}`];
  how.push(data.dither === "none" ? "no dithering" : `${data.dither} dithering`);
  $("made").textContent =
    `Made by kmq ${data.kmq}: ${how.join(", ")}. Cost is squared sRGB error, summed over the channels, mean over the pixels; time is from pixels to palette and indices.`;
  cut();
  choose(0);
}
build();
