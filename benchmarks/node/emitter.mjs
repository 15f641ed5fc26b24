// What the Node server of the benchmarks emits: the rounds of toolboxsio/bench/emitter.py, without its Redis.
//
// An emit of Node's does nothing later, so a round to one room after the other is a plain loop; the
// event loop turns between rounds, and between the emits of a room that has an emitter of its own.
import { readFileSync } from "node:fs";

const EVENT = JSON.parse(readFileSync(new URL("../../toolboxsio/bench/payloads/event.json", import.meta.url), "utf8"));

const room = (number) => `user:${number}`;

// Calls round() once for each round that is granted, with a turn of the event loop in between.
function emitter(grants, round) {
  let done = 0;
  const step = () => {
    if (done === grants.rounds) {
      grants.idle.push(step);
      return;
    }
    done += 1;
    round();
    setImmediate(step);
  };
  step();
}

const SHAPES = {
  broadcast(io, grants) {
    emitter(grants, () => io.emit("message", EVENT));
  },
  one(io, grants, clients) {
    emitter(grants, () => {
      for (let client = 0; client < clients; client += 1) {
        io.to(room(client)).emit("message", EVENT);
      }
    });
  },
  each(io, grants, clients) {
    for (let client = 0; client < clients; client += 1) {
      emitter(grants, () => io.to(room(client)).emit("message", EVENT));
    }
  },
};

export function install(io, shape) {
  const grants = { rounds: 0, idle: [] };
  let clients = 0;
  let begun = false;
  io.on("connection", (socket) => {
    if (shape !== "broadcast") {
      socket.join(room(clients));
    }
    clients += 1;
    socket.on("next", (rounds, ack) => {
      grants.rounds += rounds;
      if (!begun) {
        begun = true;
        SHAPES[shape](io, grants, clients);
      }
      for (const step of grants.idle.splice(0)) {
        setImmediate(step);
      }
      ack();
    });
  });
}
