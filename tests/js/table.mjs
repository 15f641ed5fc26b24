// Plays cases against the application with the official client: one connection each.
//
// node table.mjs < '{"url", "path", "transports", "secret", "channels": [...],
//                    "cases": [{"id", "role", "seconds", "event", "data": [...], "times", "awaits"?}]}'
// A case's token has its id for a subject, and expires so many seconds after it was made.
// Prints {"cases": {id: {"acks": [...], "emits": [[event, data], ...]}}, "observed": [[event, data], ...]}.
// A case that awaits an event waits for it before it begins. Fails (status 1) when a step takes too long.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { io } from "sio48";

const STEP_MS = 20000;
const AT_ONCE = 100;

const config = JSON.parse(readFileSync(0, "utf8"));

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`too long: ${what}`)), STEP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function sign(sub, role, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { sub, role, exp: Date.now() / 1000 + seconds };
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", config.secret).update(text).digest("base64url")}`;
}

async function connect(token, transports, emits) {
  const socket = io(config.url, {
    path: config.path,
    transports,
    auth: token === null ? {} : { token },
    reconnection: false,
    forceNew: true,
    timeout: STEP_MS,
  });
  socket.onAny((event, ...args) => emits.push([event, ...args]));
  await within(
    "connect",
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    }),
  );
  return socket;
}

const ask = (socket, event, ...data) =>
  within(event, new Promise((resolve) => socket.emit(event, ...data, (...back) => resolve(back))));

async function until(what, probe) {
  const deadline = Date.now() + STEP_MS;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`too long: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const results = {};

async function play(wanted) {
  const emits = [];
  const token = wanted.role === null ? null : sign(wanted.id, wanted.role, wanted.seconds);
  const socket = await connect(token, config.transports, emits);
  if (wanted.awaits) {
    await until(wanted.awaits, () => emits.some(([event]) => event === wanted.awaits));
  }
  const acks = [];
  for (let time = 0; time < wanted.times; time += 1) {
    acks.push(await ask(socket, wanted.event, ...wanted.data));
  }
  results[wanted.id] = { acks, emits };
  socket.disconnect();
}

const observed = [];
const observer = await connect(sign("observer", "admin", 600), ["websocket"], observed);
const [joined] = await ask(observer, "subscribe", { channels: config.channels });
if (!joined.ok) throw new Error(JSON.stringify(joined));
const waiting = [...config.cases];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (waiting.length > 0) await play(waiting.shift());
  }),
);
await ask(observer, "ping"); // what was emitted to it before is here
process.stdout.write(JSON.stringify({ cases: results, observed }), () => process.exit());
