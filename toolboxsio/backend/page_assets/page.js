// The state of a connection, the server's diagnostics, and a console.
// What comes from elsewhere is shown as text (textContent), never as markup.

const HEARTBEAT_MS = 5_000;
const STATUS_MS = 30_000;
const ACK_MS = 5_000;
const MOST_ENTRIES = 200;
const LONGEST_ENTRY = 2_000;
const WITH_TOKEN = ["authenticate", "refresh_token"]; // whose data is not shown

const at = (id) => document.getElementById(id);
const set = (id, text) => (at(id).textContent = text);
const now = () => new Date().toLocaleTimeString();

function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function json(value, indent = 0) {
  const binary = (_, item) =>
    item instanceof ArrayBuffer ? `(${item.byteLength} bytes)` : item;
  const text = JSON.stringify(value, binary, indent) ?? "";
  return text.length > LONGEST_ENTRY ? `${text.slice(0, LONGEST_ENTRY)} …` : text;
}

function log(mark, what, data) {
  const entry = element("li", "");
  entry.append(element("span", `${now()} ${mark} ${what}`, "what"), element("span", json(data)));
  at("log").prepend(entry);
  while (at("log").childElementCount > MOST_ENTRIES) at("log").lastElementChild.remove();
}

// --- the server's diagnostics ---

const pairs = (table) =>
  Object.entries(table)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

const way = (reasons) => (reasons.length ? `not through C: ${reasons.join("; ")}` : "through C");

function showStatus(status) {
  const { acceleration, redis } = status;
  const rows = {
    Clients: status.connected,
    Authenticated: status.authenticated,
    Roles: pairs(status.role_distribution) || "none",
    Acknowledgements: status.acks_enabled ? "enabled" : "disabled",
    Path: status.path,
    Acceleration: pairs(acceleration.paths) || "none",
    Events: way(acceleration.events),
    Emits: way(acceleration.emits),
    Redis: redis === null ? "not used" : pairs(redis),
  };
  at("status").replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
  at("events").replaceChildren(
    ...Object.entries(status.events).map(([name, { count, failed, p50, p99 }]) => {
      const row = element("tr", "");
      const head = element("th", name);
      head.scope = "row";
      const cells = [count, failed, p50.toFixed(2), p99.toFixed(2)];
      row.append(head, ...cells.map((cell) => element("td", cell)));
      return row;
    }),
  );
}

async function fetchStatus() {
  try {
    const response = await fetch("/socketio/status", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    showStatus(await response.json());
    set("fetched", `As of ${now()}; fetched anew every ${STATUS_MS / 1000} s.`);
  } catch (error) {
    set("fetched", `${now()}: not fetched: ${error.message}`);
  }
}

// --- the connection ---

function start(io) {
  const { path } = document.body.dataset;
  const auth = (send) => send(at("token").value ? { token: at("token").value } : {});
  const main = io(location.origin, { path, auth, autoConnect: false });
  const debug = io(`${location.origin}/debug`, { path });
  const sockets = { "/": main, "/debug": debug };
  const manager = main.io;
  const counts = { up: 0, down: 0, attempts: 0 };
  let isBeating = false;

  const count = (name) => set(name, ++counts[name]);

  function show(kind, text) {
    set("state", text);
    at("state").dataset.kind = kind;
    at("connect").disabled = kind !== "down";
    at("disconnect").disabled = kind === "down";
    at("authenticate").disabled = at("emit").disabled = kind !== "up";
    if (kind !== "up") for (const id of ["latency", "transport", "client"]) set(id, "–");
  }

  async function ask(socket, event, ...args) {
    const ack = await socket.timeout(ACK_MS).emitWithAck(event, ...args);
    count("down");
    return ack;
  }

  async function beat() {
    if (!main.connected || isBeating) return;
    isBeating = true;
    const begun = performance.now();
    try {
      await ask(main, "message", { type: "ping" });
      set("latency", `${(performance.now() - begun).toFixed(1)} ms`);
    } catch {
      if (main.connected) set("latency", `more than ${ACK_MS / 1000} s`);
    } finally {
      isBeating = false;
    }
  }

  function connect() {
    manager.opts.transports = at("transports").value.split(", ");
    show("wait", "connecting");
    for (const socket of Object.values(sockets)) socket.connect();
  }

  function disconnect() {
    for (const socket of Object.values(sockets)) socket.disconnect();
    show("down", "disconnected");
  }

  function showTransport() {
    set("transport", manager.engine.transport.name);
  }

  main.on("connect", () => {
    show("up", "connected");
    showTransport();
    manager.engine.on("upgrade", showTransport);
    log("·", "connected");
    beat();
  });
  main.on("disconnect", (reason) => {
    log("·", `disconnected: ${reason}`);
    if (main.active) show("wait", "reconnecting");
    else show("down", `disconnected: ${reason}`);
  });
  main.on("connect_error", (error) => {
    log("·", `connect_error: ${error.message}`, error.data);
    if (main.active) return;
    disconnect();
    show("down", `refused: ${error.message}`);
  });
  manager.on("reconnect_attempt", () => {
    show("wait", "reconnecting");
    count("attempts");
  });

  // A token that was not accepted leaves the client anonymous: the page says that, too.
  main.on("connected", ({ authenticated }) => {
    const refused = at("token").value ? "anonymous: the token was refused" : "anonymous";
    set("client", authenticated ? "authenticated" : refused);
    fetchStatus();
  });
  for (const event of ["auth_success", "token_refreshed"]) {
    main.on(event, ({ user_id, role }) => {
      set("client", `authenticated: ${user_id}, ${role}`);
      fetchStatus();
    });
  }
  main.on("auth_failed", ({ error }) => set("client", `refused: ${error}`));

  for (const [namespace, socket] of Object.entries(sockets)) {
    const where = namespace === "/" ? "" : `${namespace} `;
    socket.onAnyOutgoing(() => count("up"));
    socket.onAny((event, ...args) => {
      count("down");
      // The log is not for the heartbeat's own.
      if (!(isBeating && event === "pong")) log("↓", where + event, args.length > 1 ? args : args[0]);
    });
  }

  // --- the console ---

  function answer(kind, text) {
    set("answer", text);
    at("answer").dataset.kind = kind;
  }

  async function emit(namespace, event, args, withAck) {
    const socket = sockets[namespace];
    const what = namespace === "/" ? event : `${namespace} ${event}`;
    if (!socket.connected) return answer("bad", `${namespace} is not connected`);
    log("↑", what, WITH_TOKEN.includes(event) ? undefined : args[0]);
    if (!withAck) {
      socket.emit(event, ...args);
      return answer("", "sent, without an ack");
    }
    answer("", `waiting, ${ACK_MS / 1000} s at most`);
    try {
      const ack = await ask(socket, event, ...args);
      log("↓", `ack of ${what}`, ack);
      answer(ack?.ok === false ? "bad" : "up", json(ack, 2));
    } catch (error) {
      const isLate = error.message === "operation has timed out";
      const late = `within ${ACK_MS / 1000} s: nobody handles the event, perhaps`;
      answer("bad", isLate ? `no ack ${late}` : `no ack: ${error.message}`);
    }
  }

  at("emit-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    const text = at("data").value.trim();
    let args = [];
    try {
      args = text ? [JSON.parse(text)] : [];
      at("data").removeAttribute("aria-invalid");
    } catch (error) {
      at("data").setAttribute("aria-invalid", "true");
      answer("bad", `not JSON: ${error.message}`);
      return;
    }
    emit(at("namespace").value, at("event").value, args, at("with-ack").checked);
  });
  at("connect-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    connect();
  });
  at("disconnect").addEventListener("click", disconnect);
  at("authenticate").addEventListener("click", () =>
    emit("/", "authenticate", [{ token: at("token").value }], true),
  );
  at("clear").addEventListener("click", () => at("log").replaceChildren());

  setInterval(beat, HEARTBEAT_MS);
  setInterval(() => main.connected && fetchStatus(), STATUS_MS);
  connect();
}

if (typeof io === "function") start(io);
else {
  set("state", "the Socket.IO client was not loaded; SIO_CLIENT_SCRIPT may name a file of it");
  at("connect").disabled = at("disconnect").disabled = true;
}
