// Publishes with @fanoutio/grip, as its readme has it: node publish.mjs GRIP_URL CHANNEL. Prints what went wrong.
import { HttpStreamFormat, Item, Publisher } from '@fanoutio/grip';

const [url, channel] = process.argv.slice(2);
const publisher = new Publisher(url);
try {
  await publisher.publishHttpStream(channel, 'one\n');
  await publisher.publishHttpStream(channel, new HttpStreamFormat(Buffer.from([0xff, 0x00, 0x0a])));
  await publisher.publish(channel, new Item(new HttpStreamFormat('zwei ü\n'), 'id-2', 'id-1'));
  await publisher.publishHttpStream(channel, new HttpStreamFormat(null, true));
  console.log('published');
} catch (error) {
  console.log(`${error.constructor.name}: ${error.context?.statusCode} ${error.context?.httpBody}`);
}
