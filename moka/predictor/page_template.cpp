// The page: its look and how it draws, folds and searches.
// SPDX-License-Identifier: Apache-2.0
#include "moka/predictor/page_internal.h"

namespace moka {

std::string_view page_template() {
  return R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Graph</title>
<style>
:root { --ink: #1c2530; --soft: #66727f; --line: #c9d1d9; --page: #fbfcfd; --panel: #fff; --mark: #d9480f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9aa6b2; --line: #3a444f; --page: #12171d; --panel: #1a2129; --mark: #ff922b; }
}
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: grid; grid-template: auto 1fr / 18rem 1fr 20rem; color: var(--ink);
  background: var(--page); font: 13px/1.4 system-ui, sans-serif; }
header { grid-column: 1 / 4; display: flex; gap: .8rem; align-items: center; padding: .5rem .8rem;
  border-bottom: 1px solid var(--line); background: var(--panel); }
h1 { font-size: 1rem; margin: 0 auto 0 0; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
input, button { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line);
  border-radius: 4px; padding: .2rem .5rem; }
nav, aside { overflow: auto; padding: .6rem; background: var(--panel); min-height: 0; }
nav { border-right: 1px solid var(--line); }
aside { border-left: 1px solid var(--line); overflow-wrap: anywhere; }
nav ul { list-style: none; margin: 0; padding-left: .9rem; }
nav > ul { padding-left: 0; }
nav li > span { cursor: pointer; }
nav .count { color: var(--soft); }
main { min-height: 0; overflow: hidden; position: relative; }
svg { width: 100%; height: 100%; display: block; cursor: grab; touch-action: none; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); pointer-events: none; }
svg .sub { font-size: 10px; fill: var(--soft); }
svg .node { cursor: pointer; }
svg .node rect { stroke: var(--line); fill: var(--panel); }
svg .node.group rect { stroke-dasharray: 4 2; }
svg .node.port rect { fill: none; }
svg .node.found rect { stroke: var(--mark); stroke-width: 2; }
svg .node.chosen rect { stroke: var(--mark); stroke-width: 3; }
svg .edge { fill: none; stroke: var(--soft); stroke-opacity: .6; }
svg .edge.inner { stroke-dasharray: 3 3; }
svg .edge.chosen { stroke: var(--mark); stroke-opacity: 1; stroke-width: 2; }
table { border-collapse: collapse; width: 100%; }
nav table { table-layout: fixed; }
nav th, nav td { overflow-wrap: anywhere; }
th { text-align: left; vertical-align: top; font-weight: normal; color: var(--soft); padding: 0 .5rem .2rem 0; }
td { padding-bottom: .2rem; font-family: ui-monospace, monospace; font-size: 12px; }
h2 { font-size: .95rem; margin: .2rem 0 .4rem; }
h3 { font-size: .8rem; margin: .7rem 0 .2rem; color: var(--soft); font-weight: normal; }
a { color: var(--mark); cursor: pointer; }
</style>
</head>
<body>
<header><h1></h1><span id="found"></span>
<input id="search" type="search" placeholder="search: operator, name, module, type" size="34">
<label><input id="states" type="checkbox"> reads of states</label>
<button id="fold">fold all</button><button id="unfold">unfold all</button><button id="fit">fit</button></header>
<nav></nav><main><svg><g id="view"></g></svg></main><aside></aside>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = selector => document.querySelector(selector);
const svg = $("svg"), view = $("#view");
const make = (tag, attributes = {}, ...inside) => {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) k.startsWith("on") ? e.addEventListener(k.slice(2), v) : e.setAttribute(k, v);
  e.append(...inside);
  return e;
};
const draw = (tag, attributes, text) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
};

// ---- nodes with their place in the tree of modules; blocks of conditions and loops are modules too
const nodes = [], makers = new Map(), values = new Map();
const root = {name: "", path: "", children: new Map(), nodes: [], open: true, parent: null};
function group(parts) {
  let at = root;
  for (const part of parts) {
    if (!at.children.has(part)) {
      const path = at.path ? at.path + "/" + part : part;
      at.children.set(part, {name: part, path, children: new Map(), nodes: [], open: false, parent: at});
    }
    at = at.children.get(part);
  }
  return at;
}
function add(node, parts) {
  node.number = nodes.length;
  node.group = group(parts);
  node.group.nodes.push(node);
  nodes.push(node);
  for (const v of node.outputs) { makers.set(v.id, node); values.set(v.id, v); }
  return node;
}
const links = [];  // {from: value id, to: node}
function read(block, outer, names, owner) {
  const port = (op, name, inputs, outputs) => add({op, kind: "port", name, inputs, outputs, owner}, outer);
  block.params.forEach((v, i) => port(owner ? "parameter" : "input", v.name || String(i), [], [v]));
  for (const n of block.nodes) {
    const scope = n.scope ? n.scope.split(".") : [];
    const made = add(n, [...outer, ...scope]);
    for (const [name, inner] of Object.entries(n.blocks || {}))
      read(inner, [...outer, ...scope, `${n.op} ${made.number} ${name}`], [], made);
  }
  block.results.forEach((r, i) => {
    const end = port(owner ? "yield" : "output", names[i] || String(i), [r], []);
    if (block.params.length) end.owner = null;
  });
}
read(data.main, [], data.names);
for (const n of nodes) for (const v of n.inputs) if (typeof v === "number") links.push({value: v, to: n});
const count = g => g.size ??= g.nodes.length + [...g.children.values()].reduce((sum, c) => sum + count(c), 0);
count(root);
const shown = g => { let top = null; for (let at = g; at; at = at.parent) if (!at.open) top = at; return top; };
// Unfold the largest modules until the picture is full.
for (let room = 80 - root.nodes.length, line = [...root.children.values()]; line.length && room > 0;) {
  line.sort((a, b) => count(b) - count(a));
  const next = line.shift();
  room -= next.nodes.length + next.children.size;
  if (room < 0) break;
  next.open = true;
  line.push(...next.children.values());
}

// ---- what is drawn: nodes of open modules, and one box for each folded one
let items = [], placed = new Map(), chosen = null, found = new Set();
const label = n => n.kind === "port" || n.op === "get" || n.op === "set" ? `${n.op} ${n.name}` : n.op;
const type = n => n.outputs.length ? n.outputs.map(v => v.type).join(", ") : "";
const short = (text, length) => text.length > length ? text.slice(0, length - 1) + "…" : text;
function collect() {
  items = [];
  placed = new Map();
  const of = new Map();
  const states = $("#states").checked;
  for (const n of nodes) {
    const closed = shown(n.group), key = closed || n;
    if (n.op === "get" && !closed && !states) continue;
    if (!of.has(key)) {
      const item = closed ? {group: closed, title: closed.name, sub: `${count(closed)} nodes`, members: []}
        : {node: n, title: label(n), sub: type(n), members: []};
      of.set(key, item);
      items.push(item);
    }
    of.get(key).members.push(n);
    placed.set(n, of.get(key));
  }
  items.forEach((item, i) => {
    item.order = i; item.out = new Set(); item.in = new Set();
    item.width = Math.max(70, 7 * Math.max(short(item.title, 34).length, .85 * short(item.sub, 40).length) + 16);
  });
  const join = (a, b) => { if (a && b && a !== b) { a.out.add(b); b.in.add(a); } };
  for (const l of links) join(placed.get(makers.get(l.value)), placed.get(l.to));
  for (const n of nodes) {  // what stands in a block hangs on the node that has it
    if (!n.owner) continue;
    const a = placed.get(n.owner), b = placed.get(n);
    if (a && b && !a.out.has(b)) { join(a, b); (a.inner ??= new Set()).add(b); }
  }
}
// Layers by the longest way from the inputs; what a folded module closes to a circle is left out of it.
function layout() {
  const state = new Map(), order = [];
  for (const start of items) {
    if (state.has(start)) continue;
    const stack = [[start, [...start.in]]];
    state.set(start, 1);
    while (stack.length) {
      const [item, rest] = stack[stack.length - 1];
      const next = rest.pop();
      if (!next) { state.set(item, 2); order.push(item); stack.pop(); continue; }
      if (!state.has(next)) { state.set(next, 1); stack.push([next, [...next.in]]); }
    }
  }
  const rank = new Map(order.map((item, i) => [item, i]));
  const layers = [];
  for (const item of order) {
    item.layer = Math.max(-1, ...[...item.in].filter(i => rank.get(i) < rank.get(item)).map(i => i.layer)) + 1;
  }
  for (const item of order) {  // inputs stand just above their first reader
    const readers = [...item.out].filter(o => o.layer > item.layer);
    if (!item.in.size && readers.length) item.layer = Math.min(...readers.map(o => o.layer)) - 1;
    (layers[item.layer] ??= []).push(item);
  }
  for (const layer of layers) layer.forEach((item, i) => item.at = i);
  for (let turn = 0; turn < 6; turn++) {
    const down = turn % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      for (const item of layer) {
        const near = [...(down ? item.in : item.out)].filter(o => down ? o.layer < item.layer : o.layer > item.layer);
        item.wish = near.length ? near.reduce((sum, o) => sum + o.at, 0) / near.length : item.at;
      }
      layer.sort((a, b) => a.wish - b.wish || a.order - b.order).forEach((item, i) => item.at = i);
    }
  }
  const widest = Math.max(1, ...layers.map(l => l.reduce((sum, i) => sum + i.width + 24, 0)));
  layers.forEach((layer, depth) => {
    let x = (widest - layer.reduce((sum, i) => sum + i.width + 24, 0)) / 2;
    for (const item of layer) { item.x = x; item.y = depth * 74; x += item.width + 24; }
  });
  return [widest, layers.length * 74];
}
function paint() {
  collect();
  size = layout();
  view.replaceChildren();
  for (const a of items) for (const b of a.out) {
    const x0 = a.x + a.width / 2, y0 = a.y + 38, x1 = b.x + b.width / 2, y1 = b.y, bend = Math.max(18, (y1 - y0) / 2);
    const edge = draw("path", {class: a.inner?.has(b) ? "edge inner" : "edge", d: `M${x0},${y0}C${x0},${y0 + bend} ${x1},${y1 - bend} ${x1},${y1}`});
    edge.ends = [a, b];
    view.append(edge);
  }
  for (const item of items) {
    const kind = item.group ? "group" : item.node.kind === "port" ? "port" : "op";
    const g = draw("g", {class: `node ${kind}`, transform: `translate(${item.x},${item.y})`});
    g.append(draw("rect", {width: item.width, height: 38, rx: 5}),
      draw("text", {x: 8, y: 16}, (item.group ? "▸ " : "") + short(item.title, 34)),
      draw("text", {x: 8, y: 31, class: "sub"}, short(item.sub, 40)));
    g.append(draw("title", {}, `${item.group ? item.group.path : item.title}\n${item.sub}`));
    g.addEventListener("click", () => { if (!moved) item.group ? unfold(item.group) : choose(item.node); });
    g.item = item;
    item.element = g;
    view.append(g);
  }
  mark();
  tree();
}
function mark() {
  for (const item of items) {
    item.element.classList.toggle("found", item.members.some(n => found.has(n)));
    item.element.classList.toggle("chosen", item.members.includes(chosen));
  }
  const at = chosen && placed.get(chosen);
  for (const e of view.querySelectorAll(".edge")) e.classList.toggle("chosen", Boolean(at) && e.ends.includes(at));
}

// ---- modules
const setAll = (g, open) => { for (const c of g.children.values()) { c.open = open; setAll(c, open); } };
function unfold(g) { g.open = true; paint(); }
function tree() {
  const branch = g => make("ul", {}, ...[...g.children.values()].map(c => {
    const name = make("span", {onclick: () => { c.open = !c.open; paint(); }}, `${c.open ? "▾" : "▸"} ${c.name} `,
      make("span", {class: "count"}, String(count(c))));
    return c.open && c.children.size ? make("li", {}, name, branch(c)) : make("li", {}, name);
  }));
  const states = make("table", {}, ...data.states.map(s => make("tr", {title: s.value || ""}, make("th", {}, s.name),
    make("td", {}, s.type))));
  $("nav").replaceChildren(make("h3", {}, "modules"), branch(root), make("h3", {}, `states: ${data.states.length}`), states);
}

// ---- one node
function choose(n) {
  chosen = n;
  mark();
  const row = (name, ...cells) => make("tr", {}, make("th", {}, name), make("td", {}, ...cells));
  const link = m => make("a", {onclick: () => reveal(m)}, label(m));
  const value = v => typeof v === "number"
    ? [link(makers.get(v)), ` ${values.get(v).name ? "%" + values.get(v).name + " " : ""}${values.get(v).type}`]
    : [`${v.value ?? "none"}`, ...(v.name ? [` (%${v.name})`] : [])];
  const table = make("table");
  n.inputs.forEach((v, i) => table.append(row((n.arguments || [])[i] || String(i), ...value(v))));
  const out = make("table");
  for (const v of n.outputs) {
    const readers = links.filter(l => l.value === v.id).map(l => l.to);
    out.append(row(v.name ? "%" + v.name : "result", v.type, make("br"),
      ...readers.slice(0, 20).flatMap((m, i) => [i ? ", " : "→ ", link(m)])));
  }
  const about = make("table");
  if (n.name && n.kind !== "port") about.append(row(n.kind === "op" ? "label" : "name", n.name));
  if (n.scope) about.append(row("module", n.scope));
  if (n.file) about.append(row("source", `${n.file}:${n.line || "?"}`));
  if (n.flop) about.append(row("FLOP", n.flop.toLocaleString("en")));
  for (const [k, v] of Object.entries(n.notes || {})) about.append(row(k, v));
  const state = data.states.find(s => (n.op === "get" || n.op === "set") && s.name === n.name);
  if (state) about.append(row(state.kind, state.value || state.type));
  $("aside").replaceChildren(make("h2", {}, label(n)), about, make("h3", {}, "takes"), table, make("h3", {}, "gives"), out);
}
function reveal(n) {
  for (let g = n.group; g; g = g.parent) g.open = true;
  if (n.op === "get") $("#states").checked = true;
  paint();
  choose(n);
  const item = placed.get(n), box = svg.getBoundingClientRect();
  move(box.width / 2 - (item.x + item.width / 2) * scale, box.height / 2 - (item.y + 19) * scale, scale);
}

// ---- search
function search() {
  const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const about = n => n.about ??= [n.op, n.name, n.scope, n.file && `${n.file}:${n.line}`,
    ...n.outputs.flatMap(v => [v.name, v.type])].join(" ").toLowerCase();
  found = new Set(words.length ? nodes.filter(n => words.every(w => about(n).includes(w))) : []);
  $("#found").textContent = words.length ? `${found.size} found` : "";
  mark();
}
let turn = 0;
$("#search").addEventListener("input", () => { turn = 0; search(); });
$("#search").addEventListener("keydown", e => {
  if (e.key === "Enter" && found.size) reveal([...found][turn++ % found.size]);
});

// ---- zoom and pan
let left = 0, top_ = 0, scale = 1, size = [1, 1], drag = null, moved = false;
function move(x, y, s) {
  [left, top_, scale] = [x, y, Math.min(4, Math.max(.02, s))];
  view.setAttribute("transform", `translate(${left},${top_}) scale(${scale})`);
}
function zoom(x, y, by) {
  const s = Math.min(4, Math.max(.02, scale * by));
  move(x - (x - left) * s / scale, y - (y - top_) * s / scale, s);
}
function fit() {
  const box = svg.getBoundingClientRect(), s = Math.min(1, box.width / (size[0] + 40), box.height / (size[1] + 40));
  move((box.width - size[0] * s) / 2, 20 * s, Math.max(s, .15));
}
svg.addEventListener("wheel", e => {
  e.preventDefault();
  const box = svg.getBoundingClientRect();
  zoom(e.clientX - box.x, e.clientY - box.y, Math.exp(-e.deltaY / 400));
}, {passive: false});
svg.addEventListener("pointerdown", e => { drag = [e.clientX - left, e.clientY - top_]; moved = false; });
addEventListener("pointermove", e => {
  if (!drag) return;
  if (Math.hypot(e.clientX - drag[0] - left, e.clientY - drag[1] - top_) > 3) moved = true;
  if (moved) move(e.clientX - drag[0], e.clientY - drag[1], scale);
});
addEventListener("pointerup", () => { drag = null; });
addEventListener("keydown", e => {
  if (e.target.tagName === "INPUT") return;
  const box = svg.getBoundingClientRect();
  if (e.key === "+" || e.key === "-") zoom(box.width / 2, box.height / 2, e.key === "+" ? 1.25 : .8);
  else if (e.key === "0") fit();
  else if (e.key.startsWith("Arrow")) move(left + 60 * ((e.key === "ArrowLeft") - (e.key === "ArrowRight")),
    top_ + 60 * ((e.key === "ArrowUp") - (e.key === "ArrowDown")), scale);
});
$("#fold").addEventListener("click", () => { setAll(root, false); paint(); fit(); });
$("#unfold").addEventListener("click", () => { setAll(root, true); paint(); fit(); });
$("#fit").addEventListener("click", fit);
$("#states").addEventListener("change", paint);
document.title = $("h1").textContent = data.title || data.graph;
paint();
fit();
if (nodes.length) choose(nodes[0]);
</script>
</body>
</html>
)html";
}

}  // namespace moka
