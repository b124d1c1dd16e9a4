"use strict";
// Sorting and filtering of the ranking, and the player for any run. Without scripts the page is
// complete: the table is in order of rank, and only these controls are missing.
(() => {
  const CONTROLS = 64; // px, height of a player's controls
  const tables = [...document.querySelectorAll("table.ranking")];
  const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const collator = new Intl.Collator("en", { numeric: true });

  // Cells without a number (or without text) stay last in both directions.
  const key = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text === "" ? null : "value" in cell.dataset ? Number(text) : text;
  };

  const sort = (table, column, direction) => {
    const sign = direction === "descending" ? -1 : 1;
    [...table.tBodies[0].rows]
      .map((row) => [key(row, column), row])
      .sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return sign * (typeof a === "number" ? a - b : collator.compare(a, b));
      })
      .forEach(([, row]) => table.tBodies[0].append(row));
    [...table.tHead.rows[0].cells].forEach((heading, i) =>
      i === column ? heading.setAttribute("aria-sort", direction) : heading.removeAttribute("aria-sort"));
  };

  const addButton = (table, heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.dataset.first ?? "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      sort(table, column, heading.getAttribute("aria-sort") === first ? other : first);
    });
  };
  for (const table of tables) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => addButton(table, heading, column));
  }

  const form = document.getElementById("filters");
  const search = document.getElementById("search");
  const selects = [...form.querySelectorAll("select[data-axis]")];
  const points = document.getElementById("points"); // absent with runs of earlier versions
  const count = document.getElementById("count");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const matches = (row, { dataset: { axis }, value }) => {
    if (value === "") return true;
    if (axis === "status") return row.dataset.status.includes(value);
    return row.cells[1 + Number(axis)].dataset.level === value;
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    let shown = 0;
    if (points) tables.forEach((table) => { table.dataset.points = points.value; });
    for (const row of rows) {
      const text = texts.get(row);
      row.hidden = !(words.every((word) => text.includes(word)) && selects.every((s) => matches(row, s)));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${rows.length} ${tables.length > 1 ? "rows" : "settings"} shown`;
  };

  // Ranks and their order by the errors over all on the chosen points.
  const rank = () => {
    for (const table of tables) {
      const column = [...table.tHead.rows[0].cells].findIndex((c) => c.dataset.ranks === points.value);
      sort(table, column, "ascending");
      [...table.tBodies[0].rows].forEach((row, i) => {
        const ranked = key(row, column) !== null;
        row.cells[0].dataset.value = ranked ? i + 1 : "";
        row.cells[0].textContent = ranked ? i + 1 : "–";
      });
      sort(table, 0, "ascending");
    }
  };

  points?.addEventListener("change", rank);
  search.addEventListener("input", filter);
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { // after the fields are empty
    if (points) rank();
    filter();
  }));
  form.hidden = false;
  filter();

  // Room for the controls below the picture, which they would cover.
  for (const video of document.querySelectorAll("video")) {
    video.addEventListener("loadedmetadata", () => {
      const scale = video.videoWidth / video.clientWidth;
      video.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight + CONTROLS * scale}`;
    });
  }

  const picker = document.getElementById("picker");
  if (picker) {
    const [select, video] = [picker.querySelector("select"), picker.querySelector("video")];
    const show = () => { video.src = select.value; };
    select.addEventListener("change", show);
    video.preload = "metadata";
    picker.hidden = false;
    show();
  }
})();
