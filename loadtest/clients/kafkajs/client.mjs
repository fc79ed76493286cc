// A kafkajs client for the checks: the verbs are in loadtest/src/clients/program-client.ts.
// usage: node client.mjs MODULES VERB…, MODULES being where kafkajs is installed.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, verb, ...parameters] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs');
const { version } = require('kafkajs/package.json');

const SnappyCodec = require('kafkajs-snappy');
const LZ4Codec = require('kafkajs-lz4');
const { Zstd } = await import(pathToFileURL(require.resolve('@hpcc-js/wasm-zstd')).href);
const zstd = await Zstd.load();
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = new LZ4Codec().codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

const codecs = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};

const verbs = { info, create, produce, consume };
await verbs[verb](...parameters);

function info() {
  // A null header value throws in kafkajs before anything is sent.
  say({ version, codecs: Object.keys(codecs), features: { nullHeaders: false } });
}

async function create(bootstrap, topic, partitions) {
  const admin = connectTo(bootstrap).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions) }] });
  await admin.disconnect();
}

async function produce(bootstrap, codec) {
  const producer = connectTo(bootstrap).producer();
  await producer.connect();
  const chunkRecords = 500;
  let produced = 0;
  let chunk = [];
  const send = async () => {
    const topicMessages = [...groupByTopic(chunk)].map(([topic, records]) => ({
      topic,
      messages: records.map(toMessage),
    }));
    await producer.sendBatch({ topicMessages, compression: codecs[codec] });
    produced += chunk.length;
    chunk = [];
  };
  for await (const line of createInterface({ input: process.stdin })) {
    chunk.push(JSON.parse(line));
    if (chunk.length === chunkRecords) await send();
  }
  if (chunk.length > 0) await send();
  await producer.disconnect();
  say({ produced });
}

async function consume(bootstrap, groupId, ...topics) {
  const consumer = connectTo(bootstrap).consumer({ groupId });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    const assigned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => [topic, partition]),
    );
    say({ assigned });
  });
  const leave = async () => {
    await consumer.disconnect();
    process.exit(0);
  };
  process.on('SIGTERM', () => void leave());
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      say({
        topic,
        partition,
        offset: Number(message.offset),
        key: toText(message.key),
        value: toText(message.value),
        headers: Object.entries(message.headers ?? {}).flatMap(([name, values]) =>
          [values].flat().map((value) => [name, toText(value)]),
        ),
      });
    },
  });
}

function connectTo(bootstrap) {
  return new Kafka({ brokers: [bootstrap], logLevel: logLevel.WARN });
}

function groupByTopic(records) {
  const topics = new Map();
  for (const record of records) {
    topics.set(record.topic, [...(topics.get(record.topic) ?? []), record]);
  }
  return topics;
}

function toMessage({ partition, key, value, headers }) {
  // A name that comes twice is a list of values.
  const byName = {};
  for (const [name, bytes] of headers) byName[name] = [...(byName[name] ?? []), toBytes(bytes)];
  return { partition, key: toBytes(key), value: toBytes(value), headers: byName };
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
