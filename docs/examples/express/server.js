// An Express application: a page, a stream of events that gripproxy holds, and a publish, by serve-grip.
import { fileURLToPath } from 'node:url';
import { ServeGrip } from '@fanoutio/serve-grip';
import express from 'express';

const PAGE = fileURLToPath(new URL('../page.html', import.meta.url));

const app = express();
// Several hosts with gripproxy: grip: [{ control_uri: 'http://10.0.0.1:5561' }, ...]
const serveGrip = new ServeGrip({ grip: process.env.GRIP_URL ?? 'http://localhost:5561' });
app.use(serveGrip, express.urlencoded({ extended: false }));

app.get('/', (req, res) => res.sendFile(PAGE));

app.get('/events', (req, res) => {
  if (!req.grip.isProxied) {
    res.status(501).send('Not by gripproxy, or by one that signs nothing: see sig_key.\n');
    return;
  }
  // Look here who asks: what follows subscribes him to the channel.
  const instruct = res.grip.startInstruct();
  instruct.addChannel('news');
  instruct.setHoldStream();
  instruct.setKeepAlive(':\n\n', 30);
  res.type('text/event-stream').end(':\n\n');
});

app.post('/say', async (req, res) => {
  const lines = String(req.body?.text ?? '').split(/\r\n|\r|\n/);
  const event = `${lines.map((line) => `data: ${line}\n`).join('')}\n`;
  await serveGrip.getPublisher().publishHttpStream('news', event);
  res.status(204).end();
});

app.listen(Number(process.argv[2] ?? 9000), 'localhost');
