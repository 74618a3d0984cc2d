"use strict";
// Sorts and filters the table of verdicts, and opens everything for printing. The report is complete without it.
(function () {
  const table = document.getElementById("verdicts-table");
  const make = (tag, text) => { const made = document.createElement(tag); made.textContent = text || ""; return made; };
  if (table && table.tBodies[0].rows.length > 1) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const tools = make("div");
    tools.id = "tools";
    const labelled = (text, control) => { const label = make("label", text); label.append(control); tools.append(label); return control; };
    const word = labelled("Tests whose name contains", make("input"));
    const verdict = labelled("Verdict", make("select"));
    const shown = make("output");
    for (const name of ["", ...new Set(rows.map((row) => row.dataset.verdict))]) {
      const option = make("option", name ? name.replace(/_/g, " ") : "every verdict");
      option.value = name;
      verdict.append(option);
    }
    tools.append(shown);
    const filter = () => {
      const wanted = word.value.toLowerCase();
      for (const row of rows) {
        const fits = row.cells[0].textContent.toLowerCase().includes(wanted);
        row.hidden = !(fits && (!verdict.value || row.dataset.verdict === verdict.value));
      }
      shown.textContent = rows.filter((row) => !row.hidden).length + " of " + rows.length + " shown";
    };
    word.addEventListener("input", filter);
    verdict.addEventListener("change", filter);
    table.parentNode.before(tools);
    const key = (row, n) => { const cell = row.cells[n]; return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort); };
    Array.from(table.tHead.rows[0].cells).forEach((heading, n) => {
      const button = make("button", heading.textContent);
      button.type = "button";
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        rows.sort((a, b) => {
          const [one, two] = [key(a, n), key(b, n)];
          const order = typeof one === "number" && typeof two === "number" ? (one > two) - (one < two) : String(one).localeCompare(String(two));
          return down ? -order : order;
        });
        body.append(...rows);
      });
    });
  }
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
