// socket.io-client, unmodified, at the hands of a test: lines of JSON say what to do, and what has happened.

import { Agent } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, address, options] = process.argv.slice(2);
const { io } = createRequire(`${packages}/`)("socket.io-client");
const { localAddress, ...others } = JSON.parse(options);
const agent = localAddress && { agent: new Agent({ localAddress, keepAlive: true }) };
const socket = io(address, { reconnectionDelay: 100, reconnectionDelayMax: 500, ...agent, ...others });
const say = (event, data = {}) => process.stdout.write(`${JSON.stringify({ event, data })}\n`);

socket.io.on("open", () => {
  say("open", { transport: socket.io.engine.transport.name });
  socket.io.engine.on("upgrade", ({ name }) => say("upgrade", { transport: name }));
});
socket.on("connect", () => say("connect", { sid: socket.id }));
socket.on("disconnect", (reason) => say("disconnect", { reason, active: socket.active }));
socket.on("connect_error", (error) => {
  say("connect_error", { message: error.message, data: error.data ?? null, active: socket.active });
});
socket.onAny(say);
for await (const line of createInterface({ input: process.stdin })) {
  const { event, arguments: given } = JSON.parse(line);
  socket.timeout(10000).emit(event, ...given, (error, answer) => {
    say("acknowledged", error ? { ok: false, error: { status: 0, detail: error.message } } : answer);
  });
}
socket.disconnect();
setTimeout(() => process.exit(), 200);
