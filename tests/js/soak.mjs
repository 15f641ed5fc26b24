// Official clients of the soak: `node soak.mjs '{"urls": [...], "clients": 10, "patience": 60}'`.
//
// Each asks and is told things all the time, breaks its connection now and then and lets the client
// make it anew. Prints a line of JSON when all have connected, and one for each line that it reads:
// at the first they come to rest; at the second, {"ticks": {"name of a server": its last number}},
// they wait for these ticks, as many seconds as they have patience, and leave: then it prints
// {"counts": {...}, "wrong": {what: number}, "examples": {what: [...]}}.
import { createInterface } from "node:readline";
import { io } from "sio48";

const config = JSON.parse(process.argv[2]);
const counts = {};
const wrong = {};
const examples = {};
let isOver = false;

const count = (what) => { counts[what] = (counts[what] ?? 0) + 1; };
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function complain(what, example) {
  wrong[what] = (wrong[what] ?? 0) + 1;
  examples[what] = [...(examples[what] ?? []), example].slice(0, 5);
}

class Client {
  constructor(number) {
    this.number = `official ${number}`;
    this.ticks = new Map();
    this.waiting = new Map(); // what is asked of this connection
    this.count = 0;
    const transports = [["polling", "websocket"], ["websocket"], ["polling"]][number % 3];
    const url = config.urls[number % config.urls.length];
    const auth = { number };
    this.socket = io(url, { transports, auth, forceNew: true, reconnectionDelay: 100 });
    this.socket.on("connect", () => { this.ticks.clear(); count("connections"); });
    this.socket.on("connect_error", (error) => complain("could not connect", String(error)));
    this.socket.on("disconnect", (reason) => this.disconnected(reason));
    this.socket.on("tick", (server, number_) => this.follow(server, number_));
    this.socket.on("question", (...args) => { count("questions"); args.pop()([...args, "of", this.number]); });
    this.mayBreak = false;
  }

  disconnected(reason) {
    this.waiting.clear();
    count(reason);
    if (!this.mayBreak) complain("the connection was lost", `${this.number}: ${reason}`);
    this.mayBreak = false;
  }

  follow(server, number) {
    count("tick");
    const before = this.ticks.get(server);
    this.ticks.set(server, number);
    if (before !== undefined && number !== before + 1) {
      complain("tick out of order", `${this.number}: ${server} ${before} ${number}`);
    }
  }

  ask(event, ...args) {
    this.count += 1;
    const id = this.count;
    const expected = JSON.stringify(args);
    this.waiting.set(id, `${event} ${expected}`);
    this.socket.emit(event, ...args, (...back) => {
      count("acks");
      const found = JSON.stringify(back);
      if (!this.waiting.delete(id)) complain("an answer that nobody waits for", `${this.number}: ${found}`);
      if (found !== expected) complain("a wrong answer", `${this.number}: ${found}, not ${expected}`);
    });
  }

  async live() {
    while (!isOver) {
      await pause(200 + 600 * Math.random());
      if (isOver || !this.socket.connected) continue;
      const chance = Math.random();
      if (chance < 0.7) this.ask("echo", this.number, this.count, { text: "x".repeat(1000 * chance) });
      else if (chance < 0.95) this.ask("echo", this.number, this.count, Buffer.from(`bytes ${this.count}`));
      else if (this.waiting.size === 0) {
        this.mayBreak = true;
        if (chance < 0.97) this.socket.io.engine.close();
        else this.socket.disconnect().connect();
      }
    }
  }

  isDone(last) {
    const isBehind = [...this.ticks].some(([server, number]) => number !== last[server]);
    return this.socket.connected && this.waiting.size === 0 && !isBehind;
  }
}

const clients = Array.from({ length: config.clients }, (_, number) => new Client(number));
while (!clients.every((client) => client.socket.connected)) await pause(20);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function tell(told) {
  process.stdout.write(`${JSON.stringify(told)}\n`);
  const { value, done } = await lines.next();
  if (done) process.exit(1);
  return JSON.parse(value);
}

const living = clients.map((client) => client.live());
await tell({ connected: clients.length });
isOver = true;
await Promise.all(living);
const last = (await tell({ resting: clients.length })).ticks;
const deadline = Date.now() + 1000 * config.patience;
while (!clients.every((client) => client.isDone(last)) && Date.now() < deadline) await pause(20);
for (const client of clients.filter((each) => !each.isDone(last))) {
  const state = { ticks: [...client.ticks], waiting: [...client.waiting.values()] };
  complain("something did not come", `${client.number}: ${JSON.stringify(state)}`);
}
for (const client of clients) {
  client.mayBreak = true;
  client.socket.disconnect();
}
await pause(200); // what they say as they leave
process.stdout.write(`${JSON.stringify({ counts, wrong, examples })}\n`, () => process.exit());
