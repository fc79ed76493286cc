import { setTimeout as delay } from 'node:timers/promises';
import type { IdempotentProducer } from './idempotent-producer.js';
import { ConnectionLost, KafkaConnection } from './kafka-connection.js';

/**
 * A producer as applications run it: whenever its connection ends it takes the next of the ports,
 * sends what is unsettled again, and goes on, until `isEnough` and everything is acknowledged.
 */
export async function produceThrough(
  producer: IdempotentProducer,
  ports: readonly number[],
  isEnough: () => boolean,
): Promise<void> {
  for (let attempt = 0; !isEnough() || producer.unsettled.length > 0; attempt += 1) {
    try {
      // oxlint-disable-next-line no-await-in-loop
      const connection = await KafkaConnection.connect(ports[attempt % ports.length] ?? 0);
      // oxlint-disable-next-line no-await-in-loop
      await producer.retry(connection);
      // oxlint-disable-next-line no-await-in-loop
      if (producer.unsettled.length === 0) await producer.stream(connection, isEnough);
      connection.close();
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
    // oxlint-disable-next-line no-await-in-loop
    await delay(50);
  }
}
