// The Node server of the benchmarks: socket.io over WebSocket (or, with `--transport upgrade` or
// `polling`, that and long-polling), the handler of server.py (with `--flooded` those of flooded.py, too) or, with
// `--emits SHAPE`, the emitters of emitter.py.
//
// Set up as socket.io's documentation advises under "Performance tuning" and "Memory usage": ws finds
// bufferutil among the packages, and no request is kept.
//
// Prints one JSON line with its port when it listens, and serves until it gets SIGTERM.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import { install } from "./emitter.mjs";
import { addFlooded } from "./flooded.mjs";

const { values } = parseArgs({
  options: {
    emits: { type: "string" },
    flooded: { type: "boolean" },
    transport: { type: "string", default: "websocket" },
  },
});

const http = createServer();
const io = new Server(http, {
  transports: values.transport === "websocket" ? ["websocket"] : ["polling", "websocket"],
  perMessageDeflate: false,
  serveClient: false,
});
io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});

if (values.emits === undefined) {
  io.on("connection", (socket) => {
    socket.on("message", (data, ack) =>
      ack({ ok: true, type: data.type, ts: new Date().toISOString() }),
    );
  });
  if (values.flooded) {
    addFlooded(io);
  }
} else {
  install(io, values.emits);
}

process.on("SIGTERM", () => process.exit(0));
http.listen({ host: "127.0.0.1", port: 0, backlog: 2048 }, () => {
  console.log(JSON.stringify({ port: http.address().port }));
});
