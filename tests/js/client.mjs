// Plays the script of the end-to-end tests with an official client and prints its transcript.
//
// node client.mjs '{"client": "sio48", "url": ..., "path": ..., "mode": "websocket" | "polling" |
// "upgrade", "run": ..., "script": "full" | "kicked" | "abrupt" | "refused", "trailing": true | false}'
// Prints a JSON array of [what, ...values]. Fails (status 1) when a step takes too long.
import { createHash } from "node:crypto";

const STEP_MS = 8000;
const LONGEST = 80;

const config = JSON.parse(process.argv[2]);
const package_ = await import(config.client);
const io = package_.io ?? package_.default.io ?? package_.default;
const lines = [];

const digest = (data) => createHash("sha1").update(data).digest("hex");

function describe(value) {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array || value instanceof ArrayBuffer) {
    const bytes = Buffer.from(value);
    const kind = value.constructor.name;
    return `${kind}(${bytes.length}) ${bytes.length <= LONGEST ? bytes.toString("hex") : digest(bytes)}`;
  }
  if (typeof value === "string" && value.length > LONGEST) {
    return `string(${value.length}) ${digest(value)}`;
  }
  if (value instanceof Error) return { error: value.message, data: describe(value.data) };
  if (Array.isArray(value)) return value.map(describe);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
  }
  return value === undefined ? "undefined" : value;
}

const note = (what, ...values) => lines.push([what, ...values.map(describe)]);

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`too long: ${what}`)), STEP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const once = (emitter, event) =>
  within(event, new Promise((resolve) => emitter.once(event, (...args) => resolve(args))));

const opened = (socket) =>
  within(
    "connect",
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    }),
  );

const ask = (socket, event, ...args) =>
  within(event, new Promise((resolve) => socket.emit(event, ...args, (...back) => resolve(back))));

async function acked(socket, event, ...args) {
  const label = typeof args[0] === "string" ? `${event} ${args[0].slice(0, 40)}` : event;
  note(`ack of ${label}`, ...(await ask(socket, event, ...args)));
}

function open(namespace, auth) {
  const transports = { websocket: ["websocket"], polling: ["polling"] }[config.mode];
  const options = {
    path: config.path ?? "/socket.io",
    auth,
    query: { run: config.run, city: "K\u00f6ln & co" },
    reconnection: false,
    timeout: STEP_MS,
    forceNew: true,
    extraHeaders: { "X-Token": "Bearer abc" },
  };
  if (transports) options.transports = transports;
  if (config.trailing === false) options.addTrailingSlash = false;
  const socket = manager === undefined ? io(config.url, options) : manager.socket(namespace, options);
  socket.on("disconnect", (reason) => note(`${namespace} disconnected`, reason));
  return socket;
}

let manager;

async function connect(auth) {
  const socket = open("/", auth);
  socket.on("welcome", (...args) => note("welcome", ...args));
  await opened(socket);
  manager = socket.io;
  const isRace = config.mode === "upgrade"; // joined first, or upgraded first
  const transport = isRace ? "either" : manager.engine.transport.name;
  note("connected", typeof socket.id, socket.id.length, transport);
  if (config.mode === "upgrade") {
    while (manager.engine.transport.name !== "websocket") {
      await once(manager.engine, "upgrade");
    }
    note("upgraded", manager.engine.transport.name);
  }
  return socket;
}

async function acks(socket) {
  await acked(socket, "nothing");
  await acked(socket, "nothing", null, [], {});
  const values = [0, -1, 1.5, 1e300, 2 ** 53, true, false, null, "", "x", [], {}, [[1], { a: [] }]];
  for (const value of values) await acked(socket, "one", value);
  await acked(socket, "one", "na\u00efve \u65e5\u672c \u{1f600} \u2028 \u0000 \" \\ /");
  await acked(socket, "one", { "\u00e9": { "": null }, _placeholder: false, num: 3 });
  await acked(socket, "several", 1, "two", [3], { four: 4 }, null);
  await acked(socket, "several");
  await acked(socket, "plain", 1, 2);
  await acked(socket, "with space \u00e9");
  const names = [
    "zero", "false", "empty text", "empty list", "empty dict", "empty tuple", "empty bytes",
    "float", "whole float", "tiny", "big", "huge", "unicode", "nested", "tuple with list", "bytes",
    "bytes inside", "several with bytes", "long text", "long bytes",
  ];
  for (const name of names) await acked(socket, "answer", name);
}

async function binary(socket) {
  await acked(socket, "one", Buffer.from([0, 1, 255]));
  await acked(socket, "one", Buffer.alloc(0));
  await acked(socket, "one", new Uint8Array([1, 2, 3]));
  await acked(socket, "several", Buffer.from("a"), { deep: [Buffer.from("b"), "c"] }, 4);
  await acked(socket, "one", Buffer.alloc(200_000, 7));
  await acked(socket, "one", "\u00e9".repeat(150_000));
}

async function events(socket) {
  socket.on("echoed", (...args) => note("echoed", ...args));
  await acked(socket, "echo");
  await acked(socket, "echo", 1, "two", { three: [3] });
  await acked(socket, "echo", Buffer.from("bin"), [Buffer.from("ary")]);
  socket.emit("echo", "without ack");
  socket.on("message", (...args) => note("message", ...args));
  await acked(socket, "send_message");
  socket.on("burst", (...args) => note("burst", ...args));
  await acked(socket, "burst", 5);
  for (let number = 0; number < 8; number += 1) socket.emit("numbered", number);
  socket.emit("no handler for this", 1);
  socket.emit("boom");
  await acked(socket, "transport");
  const [sid] = await ask(socket, "whoami");
  note("the server's sid is ours", sid === socket.id);
}

async function calls(socket) {
  socket.on("question", (kind, reply) => {
    note("question", kind);
    const replies = {
      none: [],
      one: ["answer"],
      several: [1, { two: 2 }, null],
      binary: [Buffer.from([9, 8]), { in: [Buffer.from("x")] }],
    };
    reply(...replies[kind]);
  });
  for (const kind of ["none", "one", "several", "binary"]) {
    await acked(socket, "ask", kind);
    await acked(socket, "callback", kind);
  }
  await acked(socket, "ask_in_vain");
}

async function rooms(socket) {
  socket.on("in room", (...args) => note("in room", ...args));
  await acked(socket, "join", "a room");
  await acked(socket, "to_room", "a room", { n: 1 }, false);
  await acked(socket, "to_room", "a room", { n: 2 }, true);
  await acked(socket, "to_room", "another", { n: 3 }, false);
  await acked(socket, "to_room", null, Buffer.from("all"), false);
  await acked(socket, "leave", "a room");
  await acked(socket, "to_room", "a room", { n: 4 }, false);
  await acked(socket, "remember", { kept: [1] });
  await acked(socket, "recall");
}

async function namespaces(socket) {
  const chat = open("/chat", { token: "t", n: 1 });
  await opened(chat);
  note("/chat connected", chat.id !== socket.id);
  chat.on("said", (...args) => note("said", ...args));
  socket.on("said", () => note("said in the wrong namespace"));
  await acked(chat, "say", "hello", { to: "all" });
  await acked(chat, "say", Buffer.from("hello"));
  const wild = open("/wild");
  await opened(wild);
  await acked(wild, "any event", 1, Buffer.from("2"));
  const legacy = open("/legacy");
  await opened(legacy);
  await acked(legacy, "x");
  for (const namespace of ["/refuse", "/nowhere"]) {
    const refused = open(namespace);
    const [error] = await once(refused, "connect_error");
    note(`${namespace} refused`, error);
  }
  const kicked = once(chat, "disconnect");
  chat.emit("kick");
  await kicked;
  wild.disconnect();
  legacy.disconnect();
  await acked(socket, "one", "still here");
}

async function full() {
  const socket = await connect({ token: "t\u00f6k\u20acn", type: "Bearer" });
  for (const part of [acks, binary, events, calls, rooms, namespaces]) await part(socket);
  socket.disconnect();
}

async function kicked() {
  const socket = await connect({ token: "k" });
  const gone = once(socket, "disconnect");
  socket.emit("kick");
  await gone;
}

async function abrupt() {
  const socket = await connect({});
  await opened(open("/chat"));
  await acked(socket, "one", 1);
  const gone = once(socket, "disconnect");
  manager.engine.close();
  await gone;
}

async function refused() {
  const socket = open("/", {});
  const [error] = await once(socket, "connect_error");
  note("connect_error", error.message ?? error, error.type);
}

try {
  await { full, kicked, abrupt, refused }[config.script]();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}

// A long poll may still be open: leave when the server has seen the end of every connection.
const deadline = Date.now() + STEP_MS;
const live = async () =>
  (await (await fetch(`${config.url}/transcript?run=${config.run}`)).json()).live;
while ((await live()) > 0 && Date.now() < deadline) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
process.stdout.write(JSON.stringify(lines), () => process.exit());
