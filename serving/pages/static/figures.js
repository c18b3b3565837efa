// Draws the figures of a page: their numbers stand in it as JSON, their colours in the style sheet.

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

/** "@accent" is the colour of that name as it is now, "@accent/40" a thinner one; all else stays what it is. */
function coloured(value) {
  if (Array.isArray(value)) return value.map(coloured);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, coloured(inner)]));
  }
  const named = typeof value === "string" && /^@([a-z0-9-]+?)(?:\/(\d+))?$/.exec(value);
  if (named) {
    probe.style.color = `var(--${named[1]})`;
    const colour = getComputedStyle(probe).color;
    return named[2] ? colour.replace("rgb(", "rgba(").replace(")", `, 0.${named[2]})`) : colour;
  }
  return value;
}

function layout(given) {
  const axis = { gridcolor: "@line", linecolor: "@line", zerolinecolor: "@line", tickcolor: "@line", automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "@ink" },
    margin: { l: 8, r: 12, t: 8, b: 8 },
    hoverlabel: { bgcolor: "@ink", bordercolor: "@ink", font: { color: "@paper" } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    showlegend: false,
    dragmode: false,
  };
  const { xaxis, yaxis, ...rest } = given;
  return coloured({ ...base, ...rest, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis } });
}

const options = { displayModeBar: false, responsive: true, displaylogo: false };

function draw() {
  document.querySelectorAll("[data-figure]").forEach((place) => {
    const text = document.querySelector(`script[data-of="${place.dataset.figure}"]`).textContent;
    const figure = JSON.parse(text);
    if (place.clientWidth < 560 && figure.narrow) Object.assign(figure.layout, figure.narrow);
    place.querySelector(".waiting")?.remove();
    Plotly.react(place, coloured(figure.data), layout(figure.layout), options);
    place.dataset.drawn = "yes";
  });
}

draw();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
