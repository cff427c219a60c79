// An Express application with serve-grip, as its readme has it. PORT, GRIP_URL and GRIP_KEY come from the environment.
import express from 'express';
import { ServeGrip } from '@fanoutio/serve-grip';

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

app.listen(Number(process.env.PORT), '127.0.0.1');
