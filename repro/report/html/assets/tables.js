"use strict";
// Sorting and filtering of tables that are complete without it: headers become buttons with aria-sort, a row is hidden
// where a filter does not match. A cell's data-value is what it is sorted by (empty: missing, always last).
window.reproTables = (() => {
  const value = (row, index) => {
    const cell = row.cells[index];
    if (cell.dataset.value === undefined) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

  function sort(table, index) {
    const heads = [...table.tHead.rows[0].cells];
    const head = heads[index];
    const first = head.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, index), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, index));
      head.append(button);
    });
  }

  // Show the rows that `matches`; says how many in `status`.
  function filter(table, matches, status) {
    const rows = [...table.tBodies[0].rows];
    rows.forEach((row) => { row.hidden = !matches(row); });
    const shown = rows.filter((row) => !row.hidden).length;
    status.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  }

  function words(input) {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    return (row) => {
      const text = row.textContent.toLowerCase();
      return wanted.every((word) => text.includes(word));
    };
  }

  function filters(box) {
    const table = document.getElementById(box.dataset.table);
    const input = box.querySelector("input");
    const selects = [...box.querySelectorAll("select")];
    const chosen = (select, row) => {
      if (select.value === "") return true;
      if (select.dataset.column !== undefined) return row.cells[select.dataset.column].textContent.trim() === select.value;
      return row.dataset[select.dataset.row].split("|").includes(select.value);
    };
    const update = () => {
      const found = words(input);
      filter(table, (row) => found(row) && selects.every((select) => chosen(select, row)), box.querySelector("[role=status]"));
    };
    [input, ...selects].forEach((one) => one.addEventListener("input", update));
    box.hidden = false;
    update();
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".filters[data-table]").forEach(filters);
  // What is folded away is printed too.
  window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
  return { sortable, filter, words };
})();
