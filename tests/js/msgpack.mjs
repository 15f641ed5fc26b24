// The official client with its msgpack parser: node msgpack.mjs '{"url", "mode", "run", "auth"}'
// prints a JSON array of what it has got. Fails (status 1) when it takes too long.
import { io } from "sio48";
import parser from "socket.io-msgpack-parser";

const config = JSON.parse(process.argv[2]);
setTimeout(() => process.exit(1), 8000).unref();
const lines = [];
const hex = (value) =>
  value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString("hex")}` : value;

function open(namespace) {
  return io(config.url + namespace, {
    parser,
    forceNew: true,
    reconnection: false,
    transports: [config.mode],
    query: { run: config.run },
    ...(config.auth === undefined ? {} : { auth: config.auth }),
  });
}

// the connect handler of the last one takes no auth
for (const namespace of config.auth ? ["/", "/chat"] : ["/", "/chat", "/legacy"]) {
  const socket = open(namespace);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  if (namespace === "/") {
    lines.push(await socket.emitWithAck("one", { a: [1, null, "\u00e9"] }));
    lines.push(hex(await socket.emitWithAck("one", Buffer.from([0, 255]))));
    socket.on("question", (kind, reply) => reply(undefined, Buffer.from(kind)));
    lines.push(await socket.emitWithAck("ask", "kind"));
    await socket.emitWithAck("nothing", undefined, 1);
  } else if (namespace === "/legacy") {
    lines.push(await socket.emitWithAck("x"));
  } else {
    lines.push(await new Promise((resolve) => socket.emit("say", "x", (...got) => resolve(got))));
  }
  lines.push(namespace);
  socket.disconnect();
}
console.log(JSON.stringify(lines));
