// What a browser does in the shop's chat; what it has heard is printed, one JSON object a line.
//
//     node chat.js URL TOKEN TICKET_ID TRANSPORT,…

import { io } from "socket.io-client";

const [url, token, ticket, transports] = process.argv.slice(2);
const ticket_id = Number(ticket);
const tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }));

const socket = io(url, { auth: { token }, transports: transports.split(","), reconnection: false });
const heard = new Promise((resolve) => socket.once("new_message", resolve));

async function talk() {
  tell("join_chat", await socket.emitWithAck("join_chat", { ticket_id }));
  tell("chat_message", await socket.emitWithAck("chat_message", { ticket_id, message: "Hello from afar" }));
  tell("new_message", { message: await heard, transport: socket.io.engine.transport.name });
  socket.disconnect();
}

socket.on("connect", () => {
  const { engine } = socket.io;
  if (transports.endsWith(engine.transport.name)) talk();
  else engine.once("upgrade", talk);
});
socket.on("connect_error", (error) => tell("connect_error", { reason: error.message }));
socket.on("disconnect", (reason) => tell("disconnect", { reason }));
