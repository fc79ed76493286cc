// A @platformatic/kafka client for the checks: the verbs are in
// loadtest/src/clients/program-client.ts.
// usage: node client.mjs MODULES VERB…, MODULES being where @platformatic/kafka is installed.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, verb, ...parameters] = process.argv.slice(2);
const home = `${modules}/node_modules/@platformatic/kafka`;
const kafka = await import(pathToFileURL(`${home}/dist/index.js`).href);
const { Admin, Consumer, Producer, allowedCompressionsAlgorithms, compressionsAlgorithms } = kafka;
const clientId = 'kafscale-check';

const verbs = { info, create, produce, consume };
await verbs[verb](...parameters);

function info() {
  const { version } = JSON.parse(readFileSync(`${home}/package.json`, 'utf8'));
  say({
    version,
    codecs: allowedCompressionsAlgorithms.filter(
      (codec) => compressionsAlgorithms[codec].available,
    ),
    // Automatic commits are not waited for when the group rebalances.
    features: { redelivers: 'at-rebalance' },
  });
}

async function create(bootstrap, topic, partitions) {
  const admin = new Admin({ clientId, bootstrapBrokers: [bootstrap] });
  await admin.createTopics({ topics: [topic], partitions: Number(partitions), replicas: 1 });
  await admin.close();
}

async function produce(bootstrap, compression) {
  const producer = new Producer({ clientId, bootstrapBrokers: [bootstrap] });
  const chunkRecords = 500;
  let produced = 0;
  let chunk = [];
  const send = async () => {
    await producer.send({ messages: chunk, compression });
    produced += chunk.length;
    chunk = [];
  };
  for await (const line of createInterface({ input: process.stdin })) {
    chunk.push(toMessage(JSON.parse(line)));
    if (chunk.length === chunkRecords) await send();
  }
  if (chunk.length > 0) await send();
  await producer.close();
  say({ produced });
}

async function consume(bootstrap, groupId, ...topics) {
  const consumer = new Consumer({ clientId, groupId, bootstrapBrokers: [bootstrap] });
  consumer.on('consumer:group:join', () => {
    const assigned = (consumer.assignments ?? []).flatMap(({ topic, partitions }) =>
      partitions.map((partition) => [topic, partition]),
    );
    say({ assigned });
  });
  const stream = await consumer.consume({ topics, mode: 'committed', fallbackMode: 'earliest' });
  stream.on('data', ({ topic, partition, offset, key, value, headers }) => {
    say({
      topic,
      partition,
      offset: Number(offset),
      key: toText(key),
      value: toText(value),
      headers: [...headers].map(([name, bytes]) => [name.toString(), toText(bytes)]),
    });
  });
  const leave = async () => {
    await stream.close();
    await consumer.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void leave());
}

function toMessage({ topic, partition, key, value, headers }) {
  return {
    topic,
    partition,
    // undefined is its null.
    key: toBytes(key) ?? undefined,
    value: toBytes(value) ?? undefined,
    headers: new Map(headers.map(([name, bytes]) => [Buffer.from(name), toBytes(bytes)])),
  };
}

function toBytes(text) {
  return text === null ? null : Buffer.from(text, 'base64');
}

function toText(bytes) {
  return bytes === null || bytes === undefined ? null : bytes.toString('base64');
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
