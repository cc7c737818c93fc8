// Draws the charts of a report from the figures in #data. Plain script: the page must work from a file.
(function () {
  "use strict";
  const results = JSON.parse(document.getElementById("data").textContent).results;
  const style = getComputedStyle(document.documentElement);
  const css = (name) => style.getPropertyValue(name).trim();
  const palette = ["#2f6fde", "#e0782a", "#229966", "#b0469b", "#c9a227", "#4aa8c4", "#d1495b", "#7a68d8", "#6b8e3d", "#8c6d5a",
    "#7d8794"];
  const favourite = ["tool.call", "mcp.call", "session.total"];

  function duration(ns) {
    const units = [[1e9, "s"], [1e6, "ms"], [1e3, "us"], [1, "ns"]];
    if (ns === 0) return "0";
    if (ns >= 100e9) return (ns / 60e9).toPrecision(3) + "min";
    for (const [size, name] of units) if (ns >= size) return Number((ns / size).toPrecision(3)) + name;
    return ns.toPrecision(2) + "ns";
  }

  Chart.defaults.color = css("--dim");
  Chart.defaults.borderColor = css("--line");
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;

  function fill(select, names) {
    for (const name of names) select.add(new Option(name, name));
    select.value = favourite.find((name) => names.includes(name)) || names[0] || "";
    if (names.length === 0) select.disabled = true;
  }

  const latencyAxis = (logarithmic) => ({
    type: logarithmic ? "logarithmic" : "linear",
    beginAtZero: !logarithmic,
    title: { display: true, text: "latency" },
    ticks: { callback: duration, maxTicksLimit: 8 },
  });

  // Redraws whenever one of the controls changes.
  function control(canvas, select, checkbox, config) {
    let chart = null;
    const draw = () => {
      if (chart) chart.destroy();
      chart = new Chart(canvas, config(select.value, checkbox.checked));
    };
    select.addEventListener("change", draw);
    checkbox.addEventListener("change", draw);
    draw();
  }

  // x is 1 / (1 - q), on a logarithmic axis: p90, p99 and p99.9 are one step apart.
  const tail = (ppm) => 1e6 / (1e6 - ppm);
  const percentile = (x) => "p" + Number((100 - 100 / x).toFixed(4));
  const percentileTicks = [1, 2, 4, 10, 20, 100, 200, 1000, 10000, 100000];

  function curveConfig(metric, logarithmic) {
    const sets = results.map((r, i) => ({
      label: r.label,
      data: (r.curves[metric] || []).map(([ppm, ns]) => ({ x: tail(ppm), y: ns })),
      borderColor: palette[i % palette.length],
      backgroundColor: palette[i % palette.length],
      borderDash: i >= palette.length ? [6, 3] : [],
      borderWidth: 2, pointRadius: 1.5, pointHoverRadius: 4, tension: 0,
    }));
    return {
      type: "line",
      data: { datasets: sets },
      options: {
        interaction: { mode: "nearest", axis: "x", intersect: false },
        scales: {
          x: {
            type: "logarithmic", min: 1,
            title: { display: true, text: "percentile" },
            afterBuildTicks: (axis) => { axis.ticks = percentileTicks.filter((v) => v <= axis.max).map((value) => ({ value })); },
            ticks: { callback: (x) => (x === 1 ? "min" : percentile(x)), autoSkip: false },
          },
          y: latencyAxis(logarithmic),
        },
        plugins: {
          tooltip: { callbacks: {
            title: (items) => (items.length ? percentile(items[0].parsed.x) : ""),
            label: (item) => item.dataset.label + ": " + duration(item.parsed.y),
          } },
        },
      },
    };
  }

  // Bands over the time in which a fault is in force, with its name on top.
  const faultBands = {
    id: "faults",
    beforeDatasetsDraw(chart, args, options) {
      const { ctx, chartArea: area, scales: { x } } = chart;
      for (const fault of options.faults || []) {
        const from = Math.max(x.getPixelForValue(fault.at / 1e9), area.left);
        const to = Math.min(x.getPixelForValue((fault.at + fault.for) / 1e9), area.right);
        ctx.fillStyle = css("--fault");
        ctx.fillRect(from, area.top, Math.max(to - from, 1), area.bottom - area.top);
        ctx.fillStyle = css("--fault-line");
        ctx.fillRect(from, area.top, 1.5, area.bottom - area.top);
      }
    },
    afterDatasetsDraw(chart, args, options) {
      const { ctx, chartArea: area, scales: { x } } = chart;
      ctx.save();
      ctx.font = "12px " + Chart.defaults.font.family;
      ctx.fillStyle = css("--bad");
      (options.faults || []).forEach((fault, i) => {
        const from = x.getPixelForValue(fault.at / 1e9);
        const room = from + 5 + ctx.measureText(fault.text).width <= area.right;
        ctx.textAlign = room ? "left" : "right";
        ctx.fillText(fault.text, from + (room ? 5 : -5), area.top + 13 + (i % 8) * 15);
      });
      ctx.restore();
    },
  };

  // One point for each interval; null where there were too few samples.
  function series(result, metric) {
    const cuts = new Map((result.cuts[metric] || []).map((cut) => [cut[0], cut]));
    const starts = result.ends.map((end, i) => (i === 0 ? result.start : result.ends[i - 1]));
    const point = (column) => starts.map((start, i) => {
      const cut = cuts.get(start);
      return { x: (start + result.ends[i]) / 2e9, y: cut ? cut[column] : null };
    });
    const rate = starts.map((start, i) => {
      const cut = cuts.get(start);
      return { x: (start + result.ends[i]) / 2e9, y: (cut ? cut[1] : 0) * 1e9 / (result.ends[i] - start) };
    });
    return { p50: point(2), p99: point(3), max: point(4), rate };
  }

  function line(label, data, colour, more) {
    return Object.assign({ label, data, borderColor: colour, backgroundColor: colour, borderWidth: 2, tension: 0, spanGaps: false,
      pointRadius: data.length > 150 ? 0 : 2, yAxisID: "y" }, more);
  }

  function timeConfig(result) {
    return (metric, logarithmic) => {
      const s = series(result, metric);
      return {
        type: "line",
        data: { datasets: [
          line("p50", s.p50, palette[0]),
          line("p99", s.p99, palette[1]),
          line("max", s.max, palette[6], { borderWidth: 1, borderDash: [4, 3] }),
          line("samples a second", s.rate, css("--dim"), { yAxisID: "rate", borderWidth: 0, pointRadius: 0, fill: "origin", stepped: "middle",
            backgroundColor: "rgba(128, 140, 160, 0.22)" }),
        ] },
        options: {
          interaction: { mode: "index", intersect: false },
          scales: {
            x: { type: "linear", min: result.start / 1e9, max: result.end / 1e9, title: { display: true, text: "time in the run" },
              ticks: { callback: (s) => Number(s.toFixed(3)) + "s", includeBounds: false } },
            y: latencyAxis(logarithmic),
            rate: { position: "right", beginAtZero: true, grid: { display: false }, title: { display: true, text: "samples a second" } },
          },
          plugins: {
            faults: { faults: result.faults },
            tooltip: { callbacks: {
              title: (items) => (items.length ? items[0].parsed.x.toFixed(2) + "s" : ""),
              label: (item) => item.dataset.label + ": " + (item.dataset.yAxisID === "y" ? duration(item.parsed.y)
                : Number(item.parsed.y.toPrecision(3))),
            } },
          },
        },
        plugins: [faultBands],
      };
    };
  }

  function hopsConfig(shown) {
    const names = [...new Set(shown.flatMap((r) => Object.keys(r.hops)))];
    return {
      type: "bar",
      data: {
        labels: shown.map((r) => r.label),
        datasets: names.map((name, i) => ({
          label: name,
          data: shown.map((r) => (r.hops[name] || 0) / r.calls),
          backgroundColor: palette[i % palette.length],
          maxBarThickness: 44,
        })),
      },
      options: {
        indexAxis: "y",
        scales: {
          x: { stacked: true, title: { display: true, text: "mean time of a call" }, ticks: { callback: duration } },
          y: { stacked: true, grid: { display: false } },
        },
        plugins: { tooltip: { callbacks: { label: (item) => item.dataset.label + ": " + duration(item.parsed.x) } } },
      },
    };
  }

  const byId = (id) => document.getElementById(id);
  const curveNames = [...new Set(results.flatMap((r) => Object.keys(r.curves)))];
  fill(byId("curve-metric"), curveNames);
  control(byId("curve"), byId("curve-metric"), byId("curve-log"), curveConfig);

  const shown = results.filter((r) => r.calls > 0);
  if (shown.length === 0) byId("hops-card").remove();
  else {
    byId("hops-box").style.height = 9 + 3 * shown.length + "rem";
    new Chart(byId("hops"), hopsConfig(shown));
  }

  for (const canvas of document.querySelectorAll("canvas.time")) {
    const which = canvas.dataset.result;
    const part = (kind) => document.querySelector("." + kind + '[data-result="' + which + '"]');
    fill(part("time-metric"), Object.keys(results[which].cuts));
    control(canvas, part("time-metric"), part("time-log"), timeConfig(results[which]));
  }
})();
