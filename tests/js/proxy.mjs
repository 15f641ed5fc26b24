// Official clients that do what they are told, until the end of the input.
//
// node proxy.mjs, and one JSON object a line: {"do": ..., "client": its name, ...}; each is answered with
// one line {"result"} or {"error"}, in order. What there is to do:
//   open   {url, options, address?}  connect (from that local address); null once it is connected
//   ask    {event, data: [...]}      emit, until it is acknowledged; [the acknowledgement's arguments]
//   state  {}                        {sid, transport, connects, disconnects: [reasons], events: [[event, data], ...]}
//   close  {}                        disconnect
import { Agent } from "node:http";
import { createInterface } from "node:readline";
import { io } from "sio48";

const STEP_MS = 15000;
const ACK_MS = 1000; // an acknowledgement is lost with the connection: then it is asked again

const clients = new Map();

function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`too long: ${what}`)), STEP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function open({ client, url, options, address }) {
  const agent = new Agent({ keepAlive: true, ...(address ? { localAddress: address } : {}) });
  const socket = io(url, { ...options, agent, forceNew: true, timeout: STEP_MS });
  const entry = { socket, connects: 0, disconnects: [], events: [] };
  clients.set(client, entry);
  socket.on("connect", () => {
    entry.connects += 1;
  });
  socket.on("disconnect", (reason) => entry.disconnects.push(reason));
  socket.onAny((...event) => entry.events.push(event));
  return within(
    "connect",
    new Promise((resolve, reject) => {
      socket.once("connect", () => resolve(null));
      socket.once("connect_error", reject);
    }),
  );
}

async function ask({ client, event, data }) {
  const { socket } = clients.get(client);
  const deadline = Date.now() + STEP_MS;
  for (;;) {
    try {
      return await new Promise((resolve, reject) =>
        socket.timeout(ACK_MS).emit(event, ...data, (error, ...back) => (error ? reject(error) : resolve(back))),
      );
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

function state({ client }) {
  const { socket, connects, disconnects, events } = clients.get(client);
  const transport = socket.io.engine?.transport.name;
  return { sid: socket.id, connected: socket.connected, transport, connects, disconnects, events };
}

const actions = { open, ask, state, close: ({ client }) => void clients.get(client).socket.disconnect() };

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await actions[wanted.do](wanted)) ?? null };
  } catch (error) {
    answer = { error: `${error.message} ${error.description ?? ""}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit();
