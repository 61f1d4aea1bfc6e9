// The status page: fetches how things stand, then follows the live events. Every text of the office's callers goes into the
// page as text, never as HTML.
"use strict";

(() => {
  const $ = id => document.getElementById(id);
  const word = Words.of;

  // What is shown.
  const live = new Map();        // record id → record that is not final
  let recent = [], owed = [], standing = { pbxs: [], crms: [], today: {}, warnings: [] };
  const pbxs = new Map(), crms = new Map();
  const opened = new Set();      // which <details> the visitor has opened
  const told = new Map();        // conversation → its records, once asked for
  const admin = () => standing.me && standing.me.role === "admin";

  // ---- making elements ----

  function make(tag, name, ...children) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    for (const child of children) if (child) element.append(child);
    return element;
  }
  // Text from outside: isolated, so that a right-to-left name turns nothing around it.
  const stranger = (text, name) => make("bdi", name, String(text));

  // ---- times ----

  const written = (at, parts) => new Intl.DateTimeFormat(Words.language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...parts }).format(at);
  const exact = at => written(at, { second: "2-digit" });
  function moment(text) {
    const at = new Date(text);
    const now = new Date();
    return written(at, at.toDateString() === now.toDateString() ? {} : { day: "numeric", month: "short" });
  }
  function span(seconds) {
    const whole = Math.max(0, Math.round(seconds));
    if (whole < 60) return `${whole} ${word("seconds")}`;
    const two = n => String(n).padStart(2, "0");
    if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)}`;
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  }
  // The service's clock, where the browser's is wrong.
  let clockOff = 0;
  const since = text => (Date.now() + clockOff - new Date(text).getTime()) / 1000;
  function ticking(text) {
    const element = make("span", "time", span(since(text)));
    element.dataset.since = text;
    return element;
  }

  // ---- words about a call ----

  const arrows = { incoming: "↓", outgoing: "↑", internal: "↔" };
  const numberOf = call => call.client_number_normalized || call.client_number;
  const phoneOf = call => call.extension || call.phone;

  function clientOf(call) {
    if (call.direction === "internal") return [stranger(`${call.from || "?"} → ${call.extension || call.to || "?"}`)];
    const known = call.client_name ? call.client_name.slice(0, 300) : numberOf(call);
    return [known ? stranger(known) : word("unknown")];
  }
  // Below a name stands its number, so that no name is long enough to push it out.
  const numberBelow = call => call.direction !== "internal" && call.client_name && numberOf(call) ? stranger(numberOf(call)) : null;
  function under(call, ...parts) {
    return make("div", "under", numberBelow(call), ...parts);
  }
  function stateOf(call) {
    const waits = call.status === "ringing" && call.direction === "incoming" && !phoneOf(call);
    const text = waits ? word("waiting_line") : word(call.status);
    return make("span", `state ${call.status}`, text);
  }
  const reasonOf = call => call.reason ? make("span", "", word(`reason_${call.reason}`)) : null;

  function steps(timeline) {
    const list = make("ul", "steps");
    for (const step of timeline || []) {
      const what = make("span", "", word(`step_${step.step}`));
      for (const detail of [step.who, step.where, step.to && `→ ${step.to}`, step.how && Words.orItself("how", step.how)]) {
        if (detail) what.append(" ", stranger(detail));
      }
      if (step.seconds) what.append(` · ${span(step.seconds)}`);
      const at = make("time", "", exact(new Date(step.at)));
      list.append(make("li", "", at, what));
    }
    return list;
  }
  function remembered(details, key) {
    details.open = opened.has(key);
    details.addEventListener("toggle", () => details.open ? opened.add(key) : opened.delete(key));
    return details;
  }
  function tree(calls) {
    const list = make("ul", "tree");
    for (const call of calls) {
      const item = make("li", call.status === "ringing" || call.status === "in_progress" ? "live" : "");
      item.append(stranger(phoneOf(call) || "—", "phone"), stateOf(call));
      if (call.status === "in_progress" && call.answered_at) item.append(ticking(call.answered_at));
      else if (call.status === "ringing") item.append(ticking(call.started_at));
      else if (call.talk_seconds) item.append(make("span", "time", span(call.talk_seconds)));
      list.append(item);
    }
    return list;
  }
  const inOrder = calls => [...calls].sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));

  // ---- the parts of the page ----

  function showLive() {
    const conversations = new Map();
    for (const call of live.values()) {
      if (!conversations.has(call.conversation)) conversations.set(call.conversation, []);
      conversations.get(call.conversation).push(call);
    }
    const shown = [...conversations.values()].sort((a, b) => a[0].started_at < b[0].started_at ? 1 : -1);
    $("live").replaceChildren(...shown.map(unsorted => {
      const calls = inOrder(unsorted);
      const lead = calls.find(call => call.lead) || calls[0];
      const talks = calls.find(call => call.status === "in_progress");
      const top = make("div", "top",
        make("span", `way ${lead.direction}`, arrows[lead.direction] || ""),
        make("span", "who", ...clientOf(lead)), talks ? ticking(talks.answered_at || talks.started_at) : ticking(lead.started_at));
      top.lastChild.className = "side";
      top.append(under(lead, make("span", "", word(lead.direction)), lead.did && stranger(lead.did), lead.queue && stranger(lead.queue),
        lead.click_to_call && make("span", "", word("click"))));
      const call = make("article", "call", top, calls.some(phoneOf) ? tree(calls) : tree([lead]));
      call.dataset.conversation = lead.conversation;
      if (lead.timeline && lead.timeline.length) {
        call.append(remembered(make("details", "", make("summary", "", word("timeline")), steps(lead.timeline)), `live ${lead.conversation}`));
      }
      return call;
    }));
    $("live").nextElementSibling.hidden = shown.length > 0;
    $("figure-now").textContent = shown.length;
  }

  function showOwed() {
    $("back").replaceChildren(...owed.map(call => {
      const top = make("div", "top", make("span", "way missed", arrows[call.direction] || ""),
        make("span", "who", ...clientOf(call)), make("span", "side", moment(call.started_at)));
      top.append(under(call, reasonOf(call), call.follow_up_tries && make("span", "", word("tried", call.follow_up_tries)),
        call.outside_hours && make("span", "", word("outside"))));
      const row = make("article", "call", top);
      row.dataset.id = call.id;
      if (admin()) {
        const close = make("button", "close", word("done"));
        close.type = "button";
        close.addEventListener("click", () => settle(call, close));
        row.append(make("div", "sound", close));
      }
      return row;
    }));
    $("back").nextElementSibling.hidden = owed.length > 0;
  }

  async function settle(call, button) {
    button.disabled = true;
    const reply = await fetch("api/v1/follow-up", {
      method: "POST", headers: { "Content-Type": "application/json", "X-PIN-Page": "1" }, body: JSON.stringify({ call: call.id }),
    }).catch(() => null);
    if (reply && reply.ok) {
      owed = owed.filter(other => other.id !== call.id);
      showOwed();
      fetchSoon();
    } else {
      button.disabled = false;
    }
  }

  function sound(recording) {
    const box = make("span", "sound-one");
    const says = { recording: "recording_now", deleted: "gone", empty: "empty", unavailable: "unavailable" }[recording.state];
    if (says) return make("span", "note", word(says));
    const path = `recordings/${encodeURIComponent(recording.id)}`;
    const play = make("button", "play", word("listen"));
    play.type = "button";
    const download = make("a", "", word("download"));
    download.href = `${path}?download=1`;
    play.addEventListener("click", () => {
      const audio = make("audio");
      audio.controls = true;
      audio.preload = "metadata";
      audio.src = path;
      audio.addEventListener("error", async () => {
        const reply = await fetch(path, { method: "HEAD" }).catch(() => null);
        audio.replaceWith(make("span", "note", word(reply && reply.status === 404 ? "gone" : "cannot_play")));
      });
      play.replaceWith(audio);
      audio.play().catch(() => { /* the visitor presses play again */ });
    });
    box.append(play, " ", download);
    return box;
  }

  const rows = new Map();        // record id → { revision, language, row }
  function showRecent() {
    const shown = recent.filter(call => !live.has(call.id));
    const kept = new Set();
    const list = shown.map(call => {
      kept.add(call.id);
      const old = rows.get(call.id);
      const plays = old && [...old.row.querySelectorAll("audio")].some(audio => !audio.paused);
      if (old && (plays || old.revision === call.revision && old.language === Words.language())) return old.row;
      const row = recentRow(call);
      rows.set(call.id, { revision: call.revision, language: Words.language(), row });
      return row;
    });
    for (const id of rows.keys()) if (!kept.has(id)) rows.delete(id);
    // Only what has changed is moved: a playing <audio> that is moved would stop.
    const parent = $("recent");
    for (const child of [...parent.children]) if (!list.includes(child)) child.remove();
    list.forEach((row, at) => { if (parent.children[at] !== row) parent.insertBefore(row, parent.children[at] || null); });
    parent.nextElementSibling.hidden = list.length > 0;
  }

  function recentRow(call) {
    const long = call.talk_seconds ? span(call.talk_seconds) : "";
    const top = make("div", "top", make("span", `way ${call.status}`, arrows[call.direction] || ""),
      make("span", "who", ...clientOf(call)), make("span", "side", long ? `${long} · ${moment(call.started_at)}` : moment(call.started_at)));
    top.append(under(call, stateOf(call), call.direction !== "internal" && phoneOf(call) && stranger(phoneOf(call)), reasonOf(call),
      call.queue && stranger(call.queue), call.click_to_call && make("span", "", word("click"))));
    const row = make("article", "call", top);
    row.dataset.id = call.id;
    if ((call.recordings || []).length) row.append(make("div", "sound", ...call.recordings.map(sound)));
    const details = make("details", "", make("summary", "", word("timeline")));
    const fill = async () => {
      if (!details.open || details.children.length > 1) return;
      if (!told.has(call.conversation)) {
        const reply = await fetch(`api/v1/conversation?id=${encodeURIComponent(call.conversation)}`).catch(() => null);
        if (reply && reply.ok) {
          if (told.size > 200) told.clear();
          told.set(call.conversation, (await reply.json()).calls);
        }
      }
      const calls = inOrder(told.get(call.conversation) || [call]);
      const lead = calls.find(other => other.lead) || calls[0];
      if (details.children.length > 1) return;
      if (calls.length > 1) details.append(tree(calls));
      details.append(steps(lead.timeline));
    };
    details.addEventListener("toggle", fill);
    row.append(remembered(details, `recent ${call.id}`));
    return row;
  }

  function showService() {
    const things = [];
    const pills = [];
    for (const pbx of pbxs.values()) {
      pills.push(make("li", pbx.up ? "pill" : "pill bad", stranger(pbx.name)));
      const line = make("div", "line", make("span", "", `${word("pbx")} `, stranger(pbx.name)),
        make("span", `state ${pbx.up ? "completed" : "failed"}`, word(pbx.up ? "up" : "down")));
      const thing = make("div", "thing", line);
      const notes = [pbx.asterisk && `Asterisk ${pbx.asterisk}`, pbx.since && `${word("since")} ${moment(pbx.since)}`, !pbx.up && pbx.error];
      const note = notes.filter(Boolean).join(" · ");
      if (note) thing.append(make("div", "note", stranger(note)));
      things.push(thing);
    }
    for (const crm of crms.values()) {
      const stuck = crm.down_since || crm.parked;
      pills.push(make("li", crm.down_since ? "pill bad" : stuck ? "pill wait" : "pill", stranger(crm.name)));
      const counts = [crm.waiting && word("waits", crm.waiting), crm.parked && word("parked", crm.parked)].filter(Boolean);
      const line = make("div", "line", make("span", "", `${word("crm")} `, stranger(crm.name)),
        make("span", `state ${crm.down_since ? "failed" : "completed"}`, counts.join(", ") || word("all_sent")));
      const thing = make("div", "thing", line);
      const notes = [crm.down_since && `${word("down")} ${word("since")} ${moment(crm.down_since)}`,
        crm.waiting && crm.oldest_at && `${word("oldest")} ${moment(crm.oldest_at)}`,
        crm.last_success_at && `${word("last_success")} ${moment(crm.last_success_at)}`,
        crm.down_since && crm.next_try_at && `${word("next_try")} ${moment(crm.next_try_at)}`];
      const note = notes.filter(Boolean).join(" · ");
      if (note) thing.append(make("div", "note", note));
      if (crm.down_since && crm.last_error) thing.append(make("div", "note", stranger(crm.last_error)));
      if ((crm.requests || []).length) {
        const list = make("ul", "requests", ...crm.requests.slice(0, 20).map(request => {
          const status = request.status ? String(request.status) : word("no_answer_http");
          const good = request.status >= 200 && request.status < 300;
          return make("li", "", make("div", "line", make("span", "", `${exact(new Date(request.at))} `, stranger(request.op)),
            make("span", good ? "" : "fail", `${status} · ${request.took_ms} ms`)), make("div", "note", stranger(request.answer)));
        }));
        thing.append(remembered(make("details", "", make("summary", "", word("last_requests")), list), `requests ${crm.name}`));
      }
      things.push(thing);
    }
    const pair = standing.pair;
    if (pair) {
      const text = pair.role === "active" ? word("pair_active") : word("pair_standby");
      pills.push(make("li", "pill", text));
      const note = pair.active ? make("div", "note", `${word("pair_other")} `, stranger(pair.active)) : "";
      things.push(make("div", "thing", make("div", "line", make("span", "", stranger(pair.name)), make("span", "state", text)), note));
    }
    $("links").replaceChildren(...pills);
    $("service").replaceChildren(...things);
  }

  function showFigures() {
    $("figure-today").textContent = standing.today.calls ?? "–";
    $("figure-missed").textContent = standing.today.missed ?? "–";
    $("figure-back").textContent = standing.today.to_call_back ?? "–";
    $("figure-owed").classList.toggle("some", standing.today.to_call_back > 0);
    $("warnings").replaceChildren(...(standing.warnings || []).map(text => make("li", "", stranger(text))));
    $("warnings").hidden = !(standing.warnings || []).length;
    $("version").textContent = standing.version ? `PINconnector ${standing.version} · ${word("since")} ${moment(standing.started_at)}` : "";
    const me = standing.me || {};
    $("name").textContent = me.name && me.name !== "local" ? me.name : "";
    $("logout").hidden = !me.name || me.name === "local";
  }

  function showAll() {
    Words.fill();
    showFigures(); showLive(); showOwed(); showRecent(); showService();
  }

  // ---- fetching and following ----

  let fetching = 0, waiting = false, again = false;
  async function fetchNow() {
    if (fetching) { again = true; return; }
    fetching += 1;
    try {
      const [status, calls] = await Promise.all([fetch("api/v1/status"), fetch("api/v1/recent")]);
      if (status.status === 401) { location.href = "login"; return; }
      if (status.ok) {
        standing = await status.json();
        clockOff = new Date(standing.now).getTime() - Date.now();
        if (Math.abs(clockOff) < 2000) clockOff = 0;
        for (const pbx of standing.pbxs) pbxs.set(pbx.name, pbx);
        crms.clear();
        for (const crm of standing.crms) crms.set(crm.name, crm);
      }
      if (calls.ok) ({ recent, to_call_back: owed } = await calls.json());
      showAll();
    } catch {
      // The banner says so; the events come back first.
    } finally {
      fetching -= 1;
      if (again) { again = false; fetchSoon(); }
    }
  }
  // Many changes at once are one look.
  function fetchSoon() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; fetchNow(); }, 700);
  }

  const final = call => call.status !== "ringing" && call.status !== "in_progress";
  function hear(call) {
    told.delete(call.conversation);
    if (call.superseded_by || final(call)) {
      // A conversation whose other phones still go on keeps this one in its tree.
      const others = [...live.values()].some(other => other.conversation === call.conversation && other.id !== call.id && !final(other));
      if (others && !call.superseded_by) live.set(call.id, call);
      else for (const [id, other] of live) if (id === call.id || other.conversation === call.conversation && final(other)) live.delete(id);
      fetchSoon();
    } else {
      live.set(call.id, call);
    }
    showLive();
    showRecent();
  }

  let events = null;
  function follow() {
    if (events) events.close();
    events = new EventSource("api/v1/events");
    const on = (name, hear) => events.addEventListener(name, event => hear(JSON.parse(event.data)));
    on("state", state => {
      $("lost").hidden = true;
      live.clear();
      for (const call of state.calls) live.set(call.id, call);
      for (const pbx of state.pbxs || []) pbxs.set(pbx.name, { ...pbxs.get(pbx.name), ...pbx });
      fetchNow();
      showLive();
    });
    on("call", hear);
    on("link", pbx => { pbxs.set(pbx.name, pbx); showService(); fetchSoon(); });
    on("backlog", crm => { crms.set(crm.name, { ...crms.get(crm.name), ...crm }); showService(); });
    events.addEventListener("error", () => {
      $("lost").hidden = false;
      // Closed for good (a login that ended, a proxy's error page): try anew, not at once.
      if (events.readyState === EventSource.CLOSED) setTimeout(() => { fetchNow(); follow(); }, 4000);
    });
  }

  $("language").addEventListener("click", () => { Words.other(); showAll(); });
  $("logout").addEventListener("click", async () => {
    await fetch("logout", { method: "POST", headers: { "X-PIN-Page": "1" } }).catch(() => null);
    location.reload();
  });
  setInterval(() => {
    for (const element of document.querySelectorAll("[data-since]")) element.textContent = span(since(element.dataset.since));
  }, 1000);
  setInterval(() => { if (!document.hidden) fetchNow(); }, 60000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) fetchNow(); });

  showAll();
  fetchNow();
  follow();
})();
