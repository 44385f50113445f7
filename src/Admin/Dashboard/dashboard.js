// Asks the admin API how the server is doing and draws the answer. What comes from the server is only ever written as
// text (textContent, setAttribute on fixed names): nothing of it can become markup. It sends GET requests and no others.
"use strict";

// How often it asks, in milliseconds.
const FAST = 2000;
const HIDDEN = 20000;
const SLOWEST = 30000;

// The longest that it waits for an answer.
const PATIENCE = 10000;

// Between two polls there are so many times what the last one took, up to SLOW: a big answer, or a busy server, is asked for less often.
const RESTRAINT = 4;
const SLOW = 10000;

// What is remembered: so many polls (five minutes of them), of so many deployments.
const POLLS = 150;
const MOST_REMEMBERED = 2000;

// What a mean is taken over, in seconds.
const MEAN_OVER = 60;

// So many applications are drawn before somebody asks for more.
const PAGE = 100;
const GENERATIONS = 10;

// Every so many polls what changes seldom is asked for too.
const SELDOM = 15;

const TOKEN = "serve-admin-token";
const SVG = "http://www.w3.org/2000/svg";

const $ = id => document.getElementById(id);

// ---- The nodes of the page

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Writes only what has changed: what is selected stays selected, and nothing is read out twice.
function text(node, value) {
  const string = String(value);
  if (node.textContent !== string) {
    node.textContent = string;
  }
}

function hide(node, hidden) {
  if (node.hidden !== hidden) {
    node.hidden = hidden;
  }
}

function mark(node, className) {
  if (node.getAttribute("class") !== className) {
    node.setAttribute("class", className);
  }
}

function list(node, lines, name = "li") {
  while (node.children.length > lines.length) {
    node.lastElementChild.remove();
  }
  lines.forEach((line, i) => {
    if (i >= node.children.length) {
      node.append(document.createElement(name));
    }
    text(node.children[i], line);
  });
}

function cell(row, label, attributes = {}) {
  const node = element("td", { role: "cell", "data-label": label, ...attributes });
  row.append(node);
  return node;
}

// ---- Numbers and times as words

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const count = number => whole.format(number);
const amount = number => new Intl.NumberFormat("en", { maximumFractionDigits: 2 }).format(number);
const rate = number => Number.isNaN(number) ? "–" : number === 0 ? "0" : number < 10 ? tenths.format(number) : whole.format(Math.round(number));
const at = seconds => clock.format(new Date(seconds * 1000));

function lasted(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return s < 120 ? `${s} s`
    : s < 7200 ? `${Math.floor(s / 60)} min`
    : s < 172800 ? `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`
    : `${Math.floor(s / 86400)} days`;
}

function took(seconds) {
  return Number.isNaN(seconds) ? "–" : seconds < 0.001 ? "< 1 ms" : seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${tenths.format(seconds)} s`;
}

function size(bytes) {
  return bytes === null ? "–" : `${whole.format(Math.round(bytes / 1048576))} MiB`;
}

// One after the other, none run into the next: what a handler throws seldom ends as a sentence does.
const sentences = (...texts) => texts.filter(Boolean).map((text, i, all) => i === all.length - 1 || /[.?!:][)'"]*$/.test(text) ? text : `${text}.`).join(" ");

const tally = (...parts) => parts.filter(([number]) => number > 0).map(([number, what]) => `${count(number)} ${what}`).join(", ");
const words = status => status.toLowerCase().replaceAll("_", " ");

const LOOKS = {
  RUNNING: "good", HEALTHY: "good", GOOD: "good",
  DEPLOY_FAILED: "bad", UNHEALTHY: "bad", FAILED: "bad", ABANDONED: "bad", TROUBLE: "bad",
};

function badge(node, status) {
  text(node, words(status));
  mark(node, `badge ${LOOKS[status.toUpperCase()] ?? "moving"}`);
}

// ---- What is remembered: rings of the last polls, one slot for each

let polls = 0;
let lastNow = 0;
let epoch = null;
const times = new Float64Array(POLLS).fill(NaN);
const histories = new Map();

class History {
  constructor() {
    this.admitted = new Float32Array(POLLS).fill(NaN);
    this.refused = new Float32Array(POLLS).fill(NaN);
    this.ended = new Float32Array(POLLS).fill(NaN);
    this.ongoing = new Float32Array(POLLS).fill(NaN);
    this.queued = new Float32Array(POLLS).fill(NaN);
    this.last = null;
    this.seen = 0;
  }

  // Rates are what the totals have grown by since the poll before, and only if there was one.
  add(requests) {
    const slot = polls % POLLS;
    for (let missed = Math.max(this.seen + 1, polls - POLLS + 1); missed < polls; missed++) {
      for (const ring of [this.admitted, this.refused, this.ended, this.ongoing, this.queued]) {
        ring[missed % POLLS] = NaN;
      }
    }
    const before = this.seen === polls - 1 ? this.last : null;
    const seconds = times[slot] - times[(polls - 1) % POLLS];
    const grown = name => before === null || !(seconds > 0) || requests[name] < before[name] ? NaN : (requests[name] - before[name]) / seconds;
    this.admitted[slot] = grown("admitted");
    this.refused[slot] = grown("shed");
    this.ended[slot] = grown("ended");
    this.ongoing[slot] = requests.ongoing;
    this.queued[slot] = requests.queued;
    this.last = requests;
    this.seen = polls;
  }

  now(ring) {
    return ring[polls % POLLS];
  }

  recently(ring, seconds) {
    let sum = 0, known = 0;
    for (let poll = polls; poll > Math.max(0, polls - POLLS); poll--) {
      if (!(times[polls % POLLS] - times[poll % POLLS] <= seconds)) {
        break;
      }
      if (!Number.isNaN(ring[poll % POLLS])) {
        sum += ring[poll % POLLS];
        known++;
      }
    }
    return known === 0 ? NaN : sum / known;
  }

  hasRefused() {
    return this.refused.some(r => r > 0);
  }

  // Little's law: how many are in work on average, over how many end per second. Nothing measures each request for this page.
  meanTime() {
    const ended = this.recently(this.ended, MEAN_OVER), ongoing = this.recently(this.ongoing, MEAN_OVER);
    return ended > 0 && ongoing > 0 ? ongoing / ended : NaN;
  }
}

function begin(details) {
  const now = details.server.now_s;
  const same = `${details.controller_info.pid} ${details.server.start_time_s}`;
  if (same !== epoch || now < lastNow) {
    // Another server, or one whose clock went back: what was remembered is about something else.
    histories.clear();
    times.fill(NaN);
    polls = 0;
    epoch = same;
  }
  polls++;
  times[polls % POLLS] = now;
  lastNow = now;
}

function remember(key, requests) {
  let history = histories.get(key);
  if (history === undefined) {
    if (histories.size >= MOST_REMEMBERED) {
      return null;
    }
    histories.set(key, history = new History());
  }
  history.add(requests);
  return history;
}

function forgetTheGone() {
  for (const [key, history] of histories) {
    if (history.seen !== polls) {
      histories.delete(key);
    }
  }
}

// ---- Sparklines

const WIDTH = 150, HEIGHT = 28;

function spark(label, ...lines) {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  node.setAttribute("preserveAspectRatio", "none");
  node.setAttribute("role", "img");
  node.setAttribute("class", "spark");
  node.setAttribute("aria-label", label);
  for (const line of lines) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", line);
    node.append(path);
  }
  return node;
}

// Each line has a scale of its own, else a flood of refusals would hide what is admitted. Time goes by the server's clock, and now is at the right.
function draw(node, ...rings) {
  const now = times[polls % POLLS], span = POLLS * FAST / 1000;
  rings.forEach((ring, i) => {
    let most = 0;
    for (const value of ring) {
      most = value > most ? value : most;
    }
    let path = "", pen = false;
    for (let poll = Math.max(1, polls - POLLS + 1); poll <= polls; poll++) {
      const value = ring[poll % POLLS], x = WIDTH - (now - times[poll % POLLS]) / span * WIDTH;
      if (Number.isNaN(value) || !(x >= 0)) {
        pen = false;
        continue;
      }
      path += `${pen ? "L" : "M"}${x.toFixed(1)} ${(HEIGHT - 1.5 - value / Math.max(most, 1) * (HEIGHT - 3)).toFixed(1)}`;
      pen = true;
    }
    // Nothing refused is no line.
    path = i > 0 && most === 0 ? "" : path;
    if (node.children[i].getAttribute("d") !== path) {
      node.children[i].setAttribute("d", path);
    }
  });
}

// ---- One deployment

class DeploymentRow {
  constructor(body, application, name) {
    this.row = element("tr", { role: "row", class: "deployment" });
    this.open = element("button", { type: "button", class: "open", "aria-expanded": "false" }, name);
    this.row.append(element("th", { role: "rowheader", scope: "row" }, this.open));
    this.badge = element("span");
    cell(this.row, "Status").append(this.badge);
    this.replicas = cell(this.row, "Replicas", { class: "number" });
    this.ongoing = cell(this.row, "Ongoing", { class: "number" });
    this.queued = cell(this.row, "Queued", { class: "number" });
    this.admitted = cell(this.row, "Admitted/s", { class: "number" });
    this.refusing = cell(this.row, "Refused/s", { class: "number" });
    this.refused = cell(this.row, "Refused", { class: "number" });
    this.mean = cell(this.row, "Mean time", { class: "number", title: "Requests in work over those that end per second, over the last minute. Waiting is not in it." });
    this.spark = spark(`Admitted and refused requests per second of ${name} in application ${application}`, "admitted", "refused");
    cell(this.row, "Five minutes", { class: "drawing" }).append(this.spark);
    this.said = element("td", { role: "cell", colspan: "10", class: "said" });
    this.saidRow = element("tr", { role: "row", class: "more" }, this.said);
    this.more = null;
    this.isOpen = false;
    this.wasTouched = false;
    this.open.addEventListener("click", () => {
      this.wasTouched = true;
      this.expand(!this.isOpen);
    });
    body.append(this.row, this.saidRow);
  }

  expand(isOpen) {
    this.isOpen = isOpen;
    this.open.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen && this.more !== null) {
      this.more.row.remove();
      this.more = null;
    }
    if (isOpen && this.more === null) {
      this.more = new DeploymentDetail();
      this.saidRow.after(this.more.row);
      if (this.deployment) {
        this.more.show(this.deployment, this.history);
      }
    }
  }

  show(deployment, history) {
    this.deployment = deployment;
    this.history = history;
    const requests = deployment.requests, config = deployment.deployment_config, states = deployment.replica_states;
    const running = (states.RUNNING ?? 0) + (states.UPDATING ?? 0);
    badge(this.badge, deployment.status);
    text(this.replicas, `${running}/${deployment.target_num_replicas}${states.STARTING ? `, ${states.STARTING} starting` : ""}`);
    text(this.ongoing, `${count(requests.ongoing)}/${count(config.max_ongoing_requests * running)}`);
    text(this.queued, config.max_queued_requests === -1 ? count(requests.queued) : `${count(requests.queued)}/${count(config.max_queued_requests)}`);
    text(this.admitted, history ? rate(history.now(history.admitted)) : "–");
    text(this.refusing, history ? rate(history.now(history.refused)) : "–");
    mark(this.refusing, history && history.now(history.refused) > 0 ? "number trouble" : "number");
    text(this.refused, count(requests.shed));
    text(this.mean, history ? took(history.meanTime()) : "–");
    if (history) {
      draw(this.spark, history.admitted, history.refused);
    }
    text(this.said, sentences(deployment.message, deployment.held_back));
    hide(this.saidRow, this.said.textContent === "");
    mark(this.said, LOOKS[deployment.status] === "bad" ? "said trouble" : deployment.held_back ? "said held" : "said");

    // What has failed says why without being asked, until somebody shuts it.
    if (!this.wasTouched && LOOKS[deployment.status] === "bad" && !this.isOpen) {
      this.expand(true);
    }
    this.more?.show(deployment, history);
  }
}

// What there is to know of a deployment beside its row: where its requests went, its replicas, its last words.
class DeploymentDetail {
  constructor() {
    this.sums = element("p");
    this.replicas = element("tbody", { role: "rowgroup" });
    this.table = element("table", { class: "replicas", role: "table" },
      element("caption", {}, "Replicas"),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" },
        ...["Replica", "State", "Process", "Memory", "Ongoing", "Since"].map(h => element("th", { role: "columnheader", scope: "col" }, h)))),
      this.replicas);
    this.tail = element("pre", { tabindex: "0", "aria-label": "Last log lines of the replica that failed last" });
    this.tailTitle = element("p", {}, "Last log lines of the replica that failed last:");
    this.cell = element("td", { role: "cell", colspan: "10" }, this.sums, this.table, this.tailTitle, this.tail);
    this.row = element("tr", { role: "row", class: "detail" }, this.cell);
  }

  show(deployment, history) {
    const requests = deployment.requests, refused = requests.refused;
    const ends = tally([requests.completed, "completed"], [requests.failed, "failed"], [requests.timed_out, "timed out"], [requests.cancelled, "left before their end"]);
    const reasons = tally([refused.queue_full, "because the queue was full"], [refused.queue_time, "after they waited too long"], [refused.websockets, "for want of a websocket"],
      [refused.unavailable, "because nothing could run them"]);
    text(this.sums, [
      `Cause of the status: ${words(deployment.status_trigger)}.`,
      `Restarts: ${count(deployment.restarts)}.`,
      `Requests: ${count(requests.arrived)}${ends && `, of them ${ends}`}.`,
      reasons && `Refused: ${reasons}.`,
    ].filter(Boolean).join(" "));
    const replicas = deployment.replicas.slice(0, PAGE);
    while (this.replicas.children.length > replicas.length) {
      this.replicas.lastElementChild.remove();
    }
    replicas.forEach((replica, i) => {
      let row = this.replicas.children[i];
      if (row === undefined) {
        row = element("tr", { role: "row" });
        for (const label of ["Replica", "State", "Process", "Memory", "Ongoing", "Since"]) {
          cell(row, label);
        }
        row.children[1].append(element("span"));
        this.replicas.append(row);
      }
      const isWorker = "rss_bytes" in replica;
      text(row.children[0], replica.replica_id);
      badge(row.children[1].firstElementChild, replica.state);
      text(row.children[2], isWorker ? replica.pid : "the server's");
      text(row.children[3], isWorker ? size(replica.rss_bytes) : "–");
      text(row.children[4], replica.websockets > 0 ? `${count(replica.ongoing_requests)} and ${count(replica.websockets)} websockets` : count(replica.ongoing_requests));
      text(row.children[5], at(replica.start_time_s));
    });
    hide(this.table, replicas.length === 0);
    const lines = deployment.log_tail.join("\n");
    text(this.tail, lines);
    hide(this.tail, lines === "");
    hide(this.tailTitle, lines === "");
  }
}

// ---- One application: a row of its own, and one for each deployment

class ApplicationRows {
  constructor(name) {
    this.body = element("tbody", { role: "rowgroup" });
    this.name = element("strong", {}, name);
    this.badge = element("span");
    this.route = element("code");
    this.code = element("span", { class: "quiet" });
    this.message = element("span", { class: "said" });
    this.head = element("th", { role: "rowheader", scope: "rowgroup", colspan: "10" }, this.name, " ", this.badge, " ", this.route, " ", this.code, this.message);
    this.body.append(element("tr", { role: "row", class: "application" }, this.head));
    this.deployments = new Map();
  }

  show(view) {
    const application = view.application;
    badge(this.badge, application.status);
    text(this.route, application.route_prefix ?? "no route");
    text(this.code, application.import_path);
    text(this.message, application.message ? ` ${application.message}` : "");
    mark(this.message, LOOKS[application.status] === "bad" ? "said trouble" : "said");
    const names = new Set(Object.keys(application.deployments));
    for (const [name, row] of this.deployments) {
      if (!names.has(name)) {
        row.expand(false);
        row.row.remove();
        row.saidRow.remove();
        this.deployments.delete(name);
      }
    }
    for (const [name, deployment] of Object.entries(application.deployments)) {
      let row = this.deployments.get(name);
      if (row === undefined) {
        this.deployments.set(name, row = new DeploymentRow(this.body, application.name, name));
      }
      row.show(deployment, view.histories.get(name) ?? null);
    }
  }
}

// ---- The page as a whole

const rows = new Map();
let views = [];
let most = PAGE;

function severity(application, histories) {
  const deployments = Object.values(application.deployments);
  return LOOKS[application.status] === "bad" || deployments.some(d => LOOKS[d.status] === "bad") ? 3
    : deployments.some(d => d.held_back) ? 2
    : [...histories.values()].some(h => h?.hasRefused()) || application.status !== "RUNNING" ? 1
    : 0;
}

function take(details) {
  begin(details);
  const sums = { ongoing: 0, queued: 0, admitted: 0, shed: 0, ended: 0, running: 0, wanted: 0, restarts: 0 };
  views = Object.values(details.applications).map(application => {
    const seen = new Map();
    let busy = false;
    for (const [name, deployment] of Object.entries(application.deployments)) {
      const r = deployment.requests;
      const requests = {
        admitted: r.arrived - r.shed, shed: r.shed, ended: r.completed + r.failed + r.cancelled + r.timed_out, ongoing: r.ongoing, queued: r.queued,
      };
      for (const key of Object.keys(requests)) {
        sums[key] += requests[key];
      }
      sums.running += (deployment.replica_states.RUNNING ?? 0) + (deployment.replica_states.UPDATING ?? 0);
      sums.wanted += deployment.target_num_replicas;
      sums.restarts += deployment.restarts;
      const history = remember(JSON.stringify([application.name, name]), requests);
      busy ||= r.ongoing + r.queued > 0 || history?.now(history.admitted) > 0 || history?.now(history.refused) > 0;
      seen.set(name, history);
    }
    return { application, histories: seen, severity: severity(application, seen), busy };
  });
  views.sort((a, b) => b.severity - a.severity || (a.application.name < b.application.name ? -1 : 1));
  showServer(details);
  showSums(sums, remember("", sums));
  forgetTheGone();
  showNotices(details.notices);
  showBox(details);
  showApplications();
}

function showServer(details) {
  const server = details.server, proxy = Object.values(details.proxies)[0];
  // A server that serves has still an application that does not: nobody is to read past that.
  badge($("state"), proxy.status === "HEALTHY" && views.some(v => v.severity === 3) ? "TROUBLE" : proxy.status);
  const parts = [
    `version ${server.version}`,
    `up ${lasted(server.now_s - server.start_time_s)} since ${at(server.start_time_s)}`,
    `process ${details.controller_info.pid}`,
    `port ${details.http_options.port}`,
    `${count(proxy.connections)} connections`,
  ];
  if (details.generation) {
    parts.push(`generation ${details.generation.number} ${details.generation.outcome}`);
  }
  text($("about"), parts.join(" · "));
}

const tiles = new Map();

function tile(name, value, trouble, ...rings) {
  let shown = tiles.get(name);
  if (shown === undefined) {
    shown = { value: element("dd"), spark: rings.length > 0 ? spark(`${name} in the last five minutes`, ...(rings.length > 1 ? ["admitted", "refused"] : [trouble === null ? "admitted" : "refused"])) : null };
    const node = element("div", {}, element("dt", {}, name), shown.value);
    if (shown.spark) {
      node.append(shown.spark);
    }
    $("sums").append(node);
    tiles.set(name, shown);
  }
  text(shown.value, value);
  mark(shown.value, trouble ? "trouble" : "");
  if (shown.spark) {
    draw(shown.spark, ...rings);
  }
}

function showSums(sums, history) {
  const bad = views.filter(v => v.severity === 3).length;
  tile("Applications in order", `${count(views.length - bad)}/${count(views.length)}`, bad > 0);
  tile("Replicas running", `${count(sums.running)}/${count(sums.wanted)}`, sums.running < sums.wanted);
  tile("Restarts", count(sums.restarts), false);
  tile("Ongoing", count(sums.ongoing), null, history.ongoing);
  tile("Queued", count(sums.queued), null, history.queued);
  tile("Admitted/s", rate(history.now(history.admitted)), null, history.admitted);
  tile("Refused/s", rate(history.now(history.refused)), history.now(history.refused) > 0, history.refused);
  document.title = bad > 0 ? `(${bad}) Serve` : "Serve";
}

function showNotices(notices) {
  list($("notices"), notices, "p");
  hide($("notices"), notices.length === 0);
}

function showBox(details) {
  const box = details.box;
  hide($("box"), !box);
  if (!box) {
    return;
  }
  const part = (name, share) => share.limit === null ? `${amount(share.taken)} ${name}, no limit` : `${amount(share.taken)} of ${amount(share.limit)} ${name}`;
  text($("budget"), `Replicas have declared ${[part("CPUs", box.cpus), part("MiB of memory", box.memory_mb), part("replicas", box.replicas)].join("; ")}.`);
  const held = views.flatMap(v => Object.values(v.application.deployments).filter(d => d.held_back).map(d => `${v.application.name} / ${d.name}: ${d.held_back}`));
  list($("held"), held.length > 0 ? held.slice(0, PAGE) : ["Nobody is held back."]);
}

function wanted(view) {
  const part = $("filter").value.toLowerCase(), which = $("which").value;
  return (which === "all" || (which === "trouble" ? view.severity > 0 : view.busy)) &&
    (part === "" || view.application.name.toLowerCase().includes(part) || Object.keys(view.application.deployments).some(d => d.toLowerCase().includes(part)));
}

function showApplications() {
  const matching = views.filter(wanted), shown = matching.slice(0, most), table = $("applications");
  const names = new Set(shown.map(v => v.application.name));
  for (const [name, row] of rows) {
    if (!names.has(name)) {
      row.body.remove();
      rows.delete(name);
    }
  }
  const focused = document.activeElement;
  let before = table.tHead;
  for (const view of shown) {
    let row = rows.get(view.application.name);
    if (row === undefined) {
      rows.set(view.application.name, row = new ApplicationRows(view.application.name));
    }
    row.show(view);
    if (before.nextElementSibling !== row.body) {
      before.after(row.body);
    }
    before = row.body;
  }
  if (focused !== document.activeElement && focused.isConnected) {
    focused.focus({ preventScroll: true });
  }
  hide(table, shown.length === 0);
  hide($("nothing"), shown.length > 0);
  text($("nothing"), views.length === 0 ? "Nothing is deployed." : "No application is like that.");
  hide($("more"), matching.length <= shown.length);
  text($("more"), `Show ${count(Math.min(PAGE, matching.length - shown.length))} more of ${count(matching.length)}`);
  text($("count"), matching.length === views.length ? "" : `${count(matching.length)} of ${count(views.length)}`);
}

function showGenerations(generations, current) {
  const body = $("generations").tBodies[0], newest = generations.slice(-GENERATIONS).reverse();
  while (body.rows.length > newest.length) {
    body.lastElementChild.remove();
  }
  newest.forEach((generation, i) => {
    let row = body.rows[i];
    if (row === undefined) {
      row = element("tr", { role: "row" }, element("th", { role: "rowheader", scope: "row", class: "number" }));
      for (const label of ["Accepted", "From", "Outcome", "Reason"]) {
        cell(row, label);
      }
      row.children[3].append(element("span"));
      body.append(row);
    }
    text(row.children[0], generation.generation);
    text(row.children[1], at(Date.parse(generation.accepted_at) / 1000));
    text(row.children[2], [generation.source, generation.path, generation.restored_from ? `restored from ${generation.restored_from}` : null].filter(Boolean).join(", "));
    badge(row.children[3].firstElementChild, generation.outcome);
    text(row.children[4], generation.reason ?? "");
    mark(row, generation.generation === current ? "current" : "");
    if (generation.generation === current) {
      row.setAttribute("aria-current", "true");
    } else {
      row.removeAttribute("aria-current");
    }
  });
}

function showChanges(changes) {
  hide($("differs"), changes.length === 0);
  list($("changes"), changes.slice(0, PAGE).map(c => c.text));
}

// ---- Asking

// It answered, and not with what was asked for.
class Answered extends Error {}

// It wants a token.
class Locked extends Error {}

let token = sessionStorage.getItem(TOKEN);
let timer = 0;
let asking = null;
let failures = 0;
let lastAnswer = null;
let seldom = 0;
let lastGeneration = "";

async function ask(path, signal) {
  const headers = { Accept: "application/json" };
  if (token !== null) {
    headers.Authorization = `Bearer ${token}`;
  }
  const response = await fetch(path, { headers, signal, cache: "no-store", redirect: "manual", credentials: "same-origin" });
  if (response.type === "opaqueredirect") {
    throw new Answered("It sends this page elsewhere, maybe to sign in again. Load the page anew.");
  }
  if (response.status === 401 && (response.headers.get("WWW-Authenticate") ?? "").startsWith("Bearer")) {
    throw new Locked();
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
  }
  if (!response.ok || body === null) {
    throw new Answered(`It answered ${response.status}${body?.error ? `: ${body.error}` : ", and not with what was asked for."}`);
  }
  return body;
}

async function poll() {
  if (asking !== null) {
    return;
  }
  clearTimeout(timer);
  const abort = asking = new AbortController();
  const late = setTimeout(() => abort.abort(), PATIENCE);
  const began = performance.now();
  let wait;
  try {
    const details = await ask("api/serve/applications/?view=full", abort.signal);
    const generation = `${details.generation?.number} ${details.generation?.outcome}`;
    const isTime = generation !== lastGeneration || seldom-- <= 0;
    const [generations, changes] = isTime
      ? await Promise.all([ask("api/serve/generations/", abort.signal), ask("api/serve/config?diff=running", abort.signal)])
      : [null, null];
    failures = 0;
    lastAnswer = new Date();
    hide($("login"), true);
    hide($("shown"), false);
    take(details);
    if (isTime) {
      seldom = SELDOM;
      lastGeneration = generation;
      showGenerations(generations.generations, details.generation?.number);
      showChanges(changes.changes);
    }
    answering(true, "The server answers.");
    wait = Math.max(document.hidden ? HIDDEN : FAST, Math.min(SLOW, (performance.now() - began) * RESTRAINT));
  } catch (error) {
    if (error instanceof Locked) {
      lock();
      return;
    }
    failures++;
    wait = Math.min(SLOWEST, FAST * 2 ** Math.min(failures - 1, 10));
    const since = lastAnswer === null ? "No answer yet" : `No answer since ${clock.format(lastAnswer)}`;
    answering(false, error instanceof Answered ? `${error.message} Trying again.` : `${since}, trying again.${lastAnswer === null ? "" : " What is below is from then."}`);
    if (!(error instanceof Answered || error instanceof TypeError || error.name === "AbortError")) {
      console.error(error);
    }
  } finally {
    clearTimeout(late);
    asking = null;
  }
  timer = setTimeout(poll, wait);
}

function answering(isWell, said) {
  text($("answering"), said);
  mark($("answering"), isWell ? "quiet" : "trouble");
  mark(document.body, isWell ? "" : "stale");
  if (!isWell) {
    text($("state"), "no answer");
    mark($("state"), "badge bad");
    document.title = "(no answer) Serve";
  }
  hide($("again"), isWell);
}

function lock() {
  text($("why"), token === null
    ? "This server shows nothing without the token that is in the file admin_options.token_file names."
    : "The server does not take this token. It wants the one that is in the file admin_options.token_file names.");
  token = null;
  sessionStorage.removeItem(TOKEN);
  text($("state"), "locked");
  mark($("state"), "badge moving");
  text($("about"), "");
  document.title = "Serve";
  text($("answering"), "The server wants a token.");
  mark($("answering"), "quiet");
  hide($("again"), true);
  hide($("shown"), true);
  hide($("login"), false);
  $("token").focus();
}

$("login").addEventListener("submit", event => {
  event.preventDefault();
  const given = $("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(given)) {
    text($("why"), "A token that a browser can send has no spaces and no letters beyond ASCII.");
    return;
  }
  token = given;
  sessionStorage.setItem(TOKEN, token);
  $("token").value = "";
  poll();
});

$("filter").addEventListener("input", () => {
  most = PAGE;
  showApplications();
});
$("which").addEventListener("input", () => {
  most = PAGE;
  showApplications();
});
$("more").addEventListener("click", () => {
  most += PAGE;
  showApplications();
});
$("again").addEventListener("click", poll);
document.addEventListener("visibilitychange", () => {
  // Who comes back sees the present.
  if (!document.hidden && $("login").hidden) {
    poll();
  }
});

poll();
