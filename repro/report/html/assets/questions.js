"use strict";
// The page of questions: loads the files of the two arms that are chosen, shows their outcomes question by question and,
// for the question that is opened, every sample and the stored completions. All foreign text goes in as text.
window.repro = (() => {
  const values = new Map();
  const waiting = new Map();
  const id = (name) => document.getElementById(name);
  const OUTCOMES = new Map([["c", "correct"], ["w", "wrong"], ["u", "no answer found"]]);

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.append(...children);
    return element;
  }

  function load(key) {
    if (!waiting.has(key)) {
      waiting.set(key, new Promise((resolve, reject) => {
        const source = key.split("/").map(encodeURIComponent).join("/") + ".js";
        const script = make("script", { src: source });
        script.addEventListener("load", () => resolve(values.get(key)));
        script.addEventListener("error", () => reject(new Error(`${source} cannot be read: write the report again`)));
        document.head.append(script);
      }));
    }
    return waiting.get(key);
  }

  const arms = new Map(); // "stored/table1/ppo-n1" -> {display, chunk}
  let state = null; // {first, second, rows, table} of what is shown
  let call = 0; // the latest choice wins, whichever file comes first

  function start(index) {
    index.forEach((report) => {
      const groups = [id("first"), id("second")].map((select) => {
        const group = make("optgroup", { label: `${report.title}, ${report.evidence}` });
        select.append(group);
        return group;
      });
      report.arms.forEach((arm) => {
        const name = `${report.id}/${arm.id}`;
        arms.set(name, arm);
        groups.forEach((group) => group.append(make("option", { value: name }, arm.display)));
      });
    });
    const wanted = new URLSearchParams(location.hash.slice(1));
    const ofReport = (name) => [...arms.keys()].filter((key) => key === name || key.startsWith(`${name}/`));
    const all = wanted.has("a") ? ofReport(wanted.get("a")) : [];
    const known = all.length > 0 ? all : ofReport(index[0].id);
    const two = known.length > 2 ? known.slice(1, 3) : known;
    id("first").value = arms.has(wanted.get("a")) ? wanted.get("a") : two[0];
    id("second").value = arms.has(wanted.get("b")) ? wanted.get("b") : two[two.length - 1];
    choose(wanted.get("set"), wanted.get("q"));
  }

  async function choose(set, question) {
    const mine = ++call;
    id("detail").hidden = true;
    const names = [id("first").value, id("second").value];
    try {
      const sides = await Promise.all(names.map(async (name) => ({ ...arms.get(name), ...(await load(arms.get(name).chunk)) })));
      if (mine !== call) return;
      const shared = sides[0].sets.map((one) => one.name).filter((name) => sides[1].sets.some((one) => one.name === name));
      id("set").replaceChildren(...shared.map((name) => make("option", { value: name }, name)));
      if (shared.includes(set)) id("set").value = set;
      id("outcomes").hidden = shared.length === 0;
      if (shared.length === 0) {
        id("summary").textContent = "These two arms were evaluated on different sets of questions: choose two arms of one experiment.";
        return;
      }
      const [first, second] = sides.map((side) => ({ ...side, ...side.sets.find((one) => one.name === id("set").value) }));
      const lists = await Promise.all([first, second].map((side) => load(side.questions)));
      if (mine !== call) return;
      show(first, second, lists);
      if (question !== null && question !== undefined) {
        const row = state.rows.find((one) => one.question === question);
        if (row) open(row);
      }
    } catch (error) {
      id("summary").textContent = error.message;
    }
  }

  // Questions of both arms: by position where they share a list, else by id.
  function joined(first, second, [one, two]) {
    const places = new Map(two.ids.map((name, place) => [name, place]).reverse());
    return one.ids.flatMap((question, place) => {
      const other = one === two ? place : places.get(question);
      if (other === undefined) return [];
      const share = [first.right[place] / first.samples, second.right[other] / second.samples];
      const stored = first.stored[place] + second.stored[other];
      return [{ question, level: one.levels[place] || "", places: [place, other], share, stored, gap: share[0] - share[1] }];
    });
  }

  function show(first, second, lists) {
    const rows = joined(first, second, lists);
    const count = (test) => rows.filter(test).length;
    const left = first.left_out + second.left_out;
    id("summary").textContent = rows.length === 0
      ? "These two arms have no question of this set in common."
      : `${rows.length} questions that both arms answered. ${first.display} is right more often on ${count((row) => row.gap > 0)}, ` +
        `${second.display} on ${count((row) => row.gap < 0)}, both alike on ${count((row) => row.gap === 0)}. ` +
        `${count((row) => row.stored > 0)} questions have stored completions.` +
        (left ? ` ${left} trials with other questions or another number of samples are left out.` : "");
    const greedy = first.greedy !== null && second.greedy !== null;
    const heads = ["Question", "Level", first.display, second.display, "Difference, points"];
    if (greedy) heads.push(`${first.display}, greedy`, `${second.display}, greedy`);
    heads.push("Completions");
    const table = make("table", {}, make("caption", { class: "unseen" }, `Right answers of ${first.display} and ${second.display}, set ${id("set").value}`));
    const head = (text, place) => make("th", place > 1 ? { scope: "col", class: "number", "data-first": "descending" } : { scope: "col" }, text);
    table.append(make("thead", {}, make("tr", {}, ...heads.map(head))));
    table.append(make("tbody", {}, ...rows.map((row) => line(row, first, second, greedy))));
    id("place").replaceChildren(table);
    window.reproTables.sortable(table);
    const levels = [...new Set(rows.map((row) => row.level))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    id("level").replaceChildren(make("option", { value: "" }, "all"), ...levels.map((level) => make("option", { value: level }, level)));
    id("level").parentElement.hidden = levels.length < 2;
    state = { first, second, rows, table };
    filter();
    remember();
  }

  function line(row, first, second, greedy) {
    const button = make("button", { type: "button" }, row.question || "(no name)");
    button.addEventListener("click", () => open(row));
    const number = (value, text) => make("td", { class: "number", "data-value": value }, text);
    const [a, b] = row.places;
    const cells = [
      make("th", { scope: "row" }, button), make("td", {}, row.level),
      number(row.share[0], `${first.right[a]} of ${first.samples}`), number(row.share[1], `${second.right[b]} of ${second.samples}`),
      number(row.gap, `${row.gap > 0 ? "+" : ""}${(100 * row.gap).toFixed(1)}`),
    ];
    if (greedy) cells.push(number(first.greedy[a], `${first.greedy[a]} of ${first.greedy_of}`), number(second.greedy[b], `${second.greedy[b]} of ${second.greedy_of}`));
    row.element = make("tr", {}, ...cells, number(row.stored, String(row.stored)));
    return row.element;
  }

  const SHOWS = {
    "": () => true, first: (row) => row.gap > 0, second: (row) => row.gap < 0, differ: (row) => row.gap !== 0, stored: (row) => row.stored > 0,
  };

  function filter() {
    if (!state) return;
    const rows = new Map(state.rows.map((row) => [row.element, row]));
    const found = window.reproTables.words(id("find"));
    const matches = (element) => {
      const row = rows.get(element);
      return SHOWS[id("show").value](row) && (id("level").value === "" || row.level === id("level").value) && found(element);
    };
    window.reproTables.filter(state.table, matches, id("shown"));
  }

  // The address holds what is shown, so that it can be passed on; nothing is sent anywhere.
  function remember(question) {
    const words = new URLSearchParams({ a: id("first").value, b: id("second").value, set: id("set").value });
    if (question !== undefined) words.set("q", question);
    history.replaceState(null, "", `#${words}`);
  }

  async function open(row) {
    const mine = call;
    const sides = [state.first, state.second];
    try {
      const blocks = await Promise.all(sides.map((side, n) => load(side.blocks[Math.floor(row.places[n] / side.block)])));
      if (mine !== call) return;
      const details = blocks.map((block, n) => block[row.places[n] % sides[n].block]);
      id("detail-title").textContent = `Question ${row.question}`;
      const asked = details.find((one) => one.completions.length > 0);
      const pairs = asked ? [["Prompt", asked.prompt], ["Right answer", asked.gold]] : [];
      id("asked").replaceChildren(...pairs.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
      id("pair").replaceChildren(...sides.map((side, n) => column(side, details[n], row.places[n])));
      id("detail").hidden = false;
      id("back").onclick = () => row.element.querySelector("button").focus();
      id("detail-title").focus();
      id("detail").scrollIntoView();
      remember(row.question);
    } catch (error) {
      id("summary").textContent = error.message;
    }
  }

  function column(side, detail, place) {
    const seeds = detail.letters.map((letters, n) => {
      const right = [...letters].filter((letter) => letter === "c" || letter === "C").length;
      const runs = letters.match(/([cC]+|[wW]+|[uU]+)/g) || [];
      const marks = make("code", {}, ...runs.map((run) => make("span", { class: run[0].toLowerCase() }, run)));
      const greedy = detail.greedy[n] ? `, greedy ${outcome(detail.greedy[n])}` : "";
      return make("li", {}, `Seed ${side.seeds[n]}: ${right} of ${letters.length} right${greedy} `, marks);
    });
    const completions = detail.completions.map(([seed, letter, text]) =>
      make("li", {}, make("div", {}, `Seed ${seed}: `, make("b", { class: OUTCOMES.has(letter.toLowerCase()) ? letter.toLowerCase() : "" }, outcome(letter))), make("pre", { tabindex: "0" }, text)));
    return make("article", {},
      make("h3", {}, `${side.display}: ${side.right[place]} of ${side.samples} right`),
      make("ul", { class: "seeds", tabindex: "0", "aria-label": `Samples of ${side.display} by seed` }, ...seeds),
      make("h4", {}, completions.length ? `Stored completions (${completions.length})` : "No completion of this question is stored"),
      make("ul", {}, ...completions));
  }

  function outcome(letter) {
    const small = letter.toLowerCase();
    return OUTCOMES.has(small) ? OUTCOMES.get(small) + (letter === small ? "" : ", cut off") : "not judged";
  }

  function add(key, value) {
    values.set(key, value);
    if (key === "index" && value.length > 0) start(value);
  }

  if (id("first")) {
    id("needs-script").hidden = true;
    id("choose").hidden = false;
    [id("first"), id("second")].forEach((select) => select.addEventListener("change", () => choose(id("set").value)));
    id("set").addEventListener("change", () => choose(id("set").value));
    [id("find"), id("show"), id("level")].forEach((one) => one.addEventListener("input", filter));
  }
  return { add };
})();
