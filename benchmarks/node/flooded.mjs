// What the Node server of the benchmark of fairness answers: the handlers of flooded.py.

const SLEEP = 200; // milliseconds that the handler of `sleeps` awaits

export function addFlooded(io) {
  let count = 0;
  const counted = () => {
    count++;
  };

  io.on("connection", (socket) => {
    socket.on("busy", (microseconds, ack) => {
      counted();
      const end = performance.now() + microseconds / 1000;
      while (performance.now() < end);
      ack?.();
    });
    socket.on("sleeps", async () => {
      counted();
      await new Promise((resolve) => setTimeout(resolve, SLEEP));
    });
    socket.on("take", counted);
    socket.on("asks", (number) => {
      for (let i = 0; i < number; i++) {
        socket.emit("question", counted);
      }
    });
    socket.on("handled", (ack) => ack(count));
  });
  io.of("/other").on("connection", counted);
}
