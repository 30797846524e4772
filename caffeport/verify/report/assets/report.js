"use strict";
(() => {
  const data = (id) => JSON.parse(document.getElementById(id).textContent);
  const plots = data("plots");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const made = [];

  const show = (value) => (value == null ? "–" : value <= 1e-10 ? "0" : value >= 1e6 ? "beyond all" : value.toExponential(1));

  function options(plot, width) {
    const line = (label, stroke, extra) => ({ label, stroke, width: 1.6, spanGaps: true, value: (u, v) => show(v), ...extra });
    const series = [
      { label: "layer", value: (u, v) => (v == null ? "–" : `${plot.names[v]} (${plot.types[v]})`) },
      line("allowed", colour("--bad"), { dash: [6, 4], points: { show: false } }),
      line("rounding noise", colour("--noise"), { width: 2.4, points: { show: false } }),
    ];
    const shared = plot.series.map((one) => JSON.stringify(one.values));
    plot.series.forEach((one, i) => {
      const tone = colour(`--s${i % 6}`);
      // Lines that lie on each other (source and module mostly do) are told apart by the size of their points.
      const twin = shared.slice(0, i).filter((other) => other === shared[i]).length;
      series.push(line(one.label, tone, { dash: one.mode === "alone" ? [2, 3] : undefined, points: { show: true, size: 6 + 4 * twin, stroke: tone, fill: twin ? "transparent" : tone } }));
    });
    const every = Math.max(1, Math.ceil(plot.names.length / Math.max(4, width / 26)));
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") } };
    return {
      width, height: Math.max(300, Math.min(420, width * 0.5)), series, legend: { live: true },
      cursor: { y: false, points: { size: 9 } },
      scales: { x: { time: false, range: [-0.5, plot.names.length - 0.5] }, y: { distr: 3, range: (u, low, high) => [1e-10, Math.max(1e-3, (high || 0) * 3)] } },
      axes: [
        { ...axis, rotate: -60, size: 76, gap: 2, splits: () => plot.names.map((_, i) => i).filter((i) => i % every === 0), values: (u, at) => at.map((i) => plot.names[i].slice(0, 14)) },
        { ...axis, size: 58, values: (u, at) => at.map((v) => (Math.abs(Math.log10(v) % 1) < 1e-6 && Math.round(Math.log10(v)) % 2 === 0 ? (v <= 1e-10 ? "0" : v.toExponential(0)) : null)) },
      ],
    };
  }

  function draw(place) {
    const plot = plots[Number(place.dataset.plot)];
    if (!plot.names.length) { place.textContent = "Nothing was compared."; return; }
    const old = made.find((one) => one.place === place);
    if (old) old.chart.destroy();
    const width = place.clientWidth - 14;
    const columns = [plot.names.map((_, i) => i), plot.allowed, plot.noise, ...plot.series.map((one) => one.values)];
    const chart = new uPlot(options(plot, width), columns, place);
    if (old) Object.assign(old, { chart, width }); else made.push({ place, chart, width });
  }

  // A closed case has no width: its plot is drawn when it opens.
  const drawn = () => document.querySelectorAll("[data-plot]").forEach((place) => place.clientWidth && draw(place));
  drawn();
  document.querySelectorAll("details.case").forEach((one) => one.addEventListener("toggle", () => one.open && one.querySelectorAll("[data-plot]").forEach((place) => place.childElementCount || draw(place))));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawn);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => made.forEach((one) => one.place.clientWidth && one.place.clientWidth - 14 !== one.width && draw(one.place)), 150); });

  document.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), column = head.cellIndex;
    const up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (body) => { const cell = body.rows[0].cells[column]; const value = cell.dataset.value; return value === undefined ? cell.textContent.trim() : value === "inf" ? Infinity : Number(value); };
    const bodies = [...table.tBodies].map((body, place) => [key(body), place, body]);
    bodies.sort(([a, i], [b, j]) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b) * (up ? 1 : -1) || i - j);
    table.append(...bodies.map((one) => one[2]));
  }));

  const fold = (row, open) => { const detail = row.nextElementSibling; if (detail) detail.hidden = open === undefined ? !detail.hidden : !open; };
  const pressed = (event) => event.type === "click" || event.key === "Enter" || event.key === " ";
  for (const kind of ["click", "keydown"]) {
    document.querySelectorAll("tr.row").forEach((row) => row.addEventListener(kind, (event) => { if (pressed(event)) { event.preventDefault(); fold(row); } }));
    document.querySelectorAll(".node").forEach((node) => node.addEventListener(kind, (event) => {
      if (!pressed(event)) return;
      event.preventDefault();
      const body = document.getElementById(`layer-${node.closest(".graph").dataset.case}-${node.dataset.layer}`);
      if (body) { fold(body.rows[0], true); body.scrollIntoView({ block: "center" }); }
    }));
  }

  document.querySelectorAll(".tools").forEach((tools) => {
    const table = tools.nextElementSibling && tools.nextElementSibling.querySelector("table");
    const find = tools.querySelector("input"), unfold = tools.querySelector(".unfold");
    if (!table || !find) return;
    find.addEventListener("input", () => { const word = find.value.toLowerCase(); [...table.tBodies].forEach((body) => { body.hidden = !body.rows[0].textContent.toLowerCase().includes(word); }); });
    unfold.addEventListener("click", () => { const open = unfold.textContent === "Open all"; table.querySelectorAll("tr.row").forEach((row) => fold(row, open)); unfold.textContent = open ? "Close all" : "Open all"; });
  });

  document.querySelectorAll(".graph").forEach((graph) => {
    const culprit = graph.querySelector(".culprit-node");
    if (culprit) graph.scrollTop = Math.max(0, culprit.getBoundingClientRect().top - graph.getBoundingClientRect().top - 200);
  });

  document.getElementById("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.getElementById("report").textContent], { type: "application/json" }));
    link.download = "parity.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
