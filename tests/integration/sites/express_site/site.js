// An Express application with serve-grip, as its readme has it. PORT, GRIP_URL and GRIP_KEY come from the environment.
import express from 'express';
import { WebSocketMessageFormat } from '@fanoutio/grip';
import { ServeGrip } from '@fanoutio/serve-grip';
import { WebSocketServer } from 'ws';

const app = express();
const serveGrip = new ServeGrip({ grip: process.env.GRIP_URL, gripVerifyKey: process.env.GRIP_KEY });
app.use(serveGrip);

app.get('/hello', (req, res) => {
  res.json({ isProxied: req.grip.isProxied, isSigned: req.grip.isSigned });
});

app.get('/poll', (req, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(req.query.channel);
  instruct.setHoldLongPoll(20);
  res.type('text/plain').end('nothing\n');
});

app.get('/events', (req, res) => {
  const instruct = res.grip.startInstruct();
  instruct.addChannel(req.query.channel);
  instruct.setHoldStream();
  instruct.setKeepAlive(':\n\n', 1);
  res.type('text/event-stream').end('event: open\ndata:\n\n');
});

app.get('/publish', async (req, res) => {
  const { channel, text } = req.query;
  const publisher = serveGrip.getPublisher();
  await publisher.publishHttpStream(channel, `data: ${text}\n\n`);
  await publisher.publishHttpResponse(channel, `${text}\n`);
  res.type('text/plain').end('published\n');
});

// A chat over HTTP: whoever says something reaches the whole room. The room is the path, the name is kept by the proxy.
app.post('/chat/:room', async (req, res) => {
  const { wsContext } = req.grip;
  const { room } = req.params;
  if (wsContext === null) {
    res.status(400).end('not a WebSocket\n');
    return;
  }
  if (wsContext.isOpening()) {
    wsContext.accept();
    wsContext.subscribe(room);
    wsContext.send(`welcome to ${room}`);
  }
  while (wsContext.canRecv()) {
    const message = wsContext.recv();
    if (message === null) {
      wsContext.close(wsContext.closeCode ?? 1000);
      break;
    }
    if (message.startsWith('/name ')) {
      wsContext.meta.name = message.slice('/name '.length);
      wsContext.send(`hello ${wsContext.meta.name}`);
    } else {
      const said = new WebSocketMessageFormat(`${wsContext.meta.name ?? 'somebody'}: ${message}`);
      await serveGrip.getPublisher().publishFormats(room, said);
    }
  }
  res.end();
});

// Throws everybody out of a room.
app.get('/kick', async (req, res) => {
  await serveGrip.getPublisher().publishFormats(req.query.channel, new WebSocketMessageFormat(null, true, 4001));
  res.type('text/plain').end('kicked\n');
});

app.get('/say', async (req, res) => {
  await serveGrip.getPublisher().publishFormats(req.query.channel, new WebSocketMessageFormat(req.query.text));
  res.type('text/plain').end('published\n');
});

app.get('/page', (req, res) => res.sendFile(new URL('page.html', import.meta.url).pathname));

const server = app.listen(Number(process.env.PORT), '127.0.0.1');

// A WebSocket server beside it, by ws: takes part in GRIP with a prefix of its own, echoes in the same kind.
const sockets = new WebSocketServer({ server, path: '/socket' });
sockets.on('headers', (headers) => headers.push('Sec-WebSocket-Extensions: grip; message-prefix="x;y:"'));
sockets.on('connection', (socket, req) => {
  const channel = new URL(req.url, 'http://localhost').searchParams.get('channel');
  socket.send(`c:${JSON.stringify({ type: 'subscribe', channel })}`);
  socket.on('message', (data, isBinary) => socket.send(Buffer.concat([Buffer.from('x;y:'), data]), { binary: isBinary }));
});
