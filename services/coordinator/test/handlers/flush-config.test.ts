import { apis, errorCodes } from '@kafscale/codec';
import type { FeedMessage } from '@kafscale/cluster';
import { expect, it } from 'vitest';
import { useAdminServers } from './admin-server.js';
import type { AdminServer } from './admin-server.js';

const startServer = useAdminServers();
const name = 'kafscale.flush.ms';
const topicType = 2;
const set = 0;
const remove = 1;

async function described(server: AdminServer) {
  const resource = { resourceType: topicType, resourceName: 'a', configurationKeys: [name] };
  const { results } = await server.call(apis.describeConfigs, { resources: [resource] });
  return results[0]!.configs[0];
}

async function altered(server: AdminServer, value: string | null): Promise<number> {
  const config = { name, configOperation: value === null ? remove : set, value };
  const resource = { resourceType: topicType, resourceName: 'a', configs: [config] };
  const { responses } = await server.call(apis.incrementalAlterConfigs, { resources: [resource] });
  return responses[0]!.errorCode;
}

/** What the data path is told, message by message. */
function flushMsInFeed(server: AdminServer): number[] {
  const seen: number[] = [];
  const onMessage = (message: FeedMessage): void => {
    const topics =
      message.kind === 'snapshot'
        ? message.topics
        : message.events.flatMap((event) => (event.kind === 'topic' ? [event.topic] : []));
    for (const { settings } of topics) seen.push(settings.flushMs);
  };
  server.coordinator.subscribe({ commits: false }, { onMessage, onClosed: () => {} });
  return seen;
}

it('is shown, changed, taken away, and told to the data path', async () => {
  const server = await startServer();
  await server.createTopic('a', 1, { [name]: '20' });
  const seen = flushMsInFeed(server);
  expect(await described(server)).toMatchObject({ name, value: '20', configSource: 1 });
  expect(await altered(server, '5000')).toBe(errorCodes.NONE);
  expect(await described(server)).toMatchObject({ value: '5000', configSource: 1, configType: 3 });
  expect(await altered(server, null)).toBe(errorCodes.NONE);
  expect(await described(server)).toMatchObject({ value: '-1', configSource: 5 });
  const resource = { resourceType: topicType, resourceName: 'a', configs: [{ name, value: '0' }] };
  const { responses } = await server.call(apis.alterConfigs, { resources: [resource] });
  expect(responses[0]!.errorCode).toBe(errorCodes.NONE);
  expect(seen).toEqual([20, 5000, -1, 0]);
});

it.each(['-2', '60001', '1.5', 'soon', ''])('does not take "%s"', async (value) => {
  const server = await startServer();
  await server.createTopic('a');
  expect(await altered(server, value)).toBe(errorCodes.INVALID_CONFIG);
  expect(await described(server)).toMatchObject({ value: '-1' });
});
