/**
 * IncrementalAlterConfigs (key 44), versions 0 and 1: single configs are set (0), put back to their
 * defaults (1), or, if they are lists, added to (2) or taken from (3); KIP-339. What it shares with
 * AlterConfigs is in topics/alter-configs.ts.
 *
 * A name twice, a null value with anything but DELETE, an unknown operation: INVALID_REQUEST. APPEND
 * or SUBTRACT on what is not a list: INVALID_CONFIG (ConfigurationControlManager).
 */
import {
  errorCodes,
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from '@kafscale/codec';
import type { IncrementalAlterConfigsRequest } from '@kafscale/codec';
import { answerAlterations, ConfigRefusal } from '../topics/alter-configs.js';
import type { Alteration, AlterationContext } from '../topics/alter-configs.js';
import { configTypes, topicConfigByName, topicConfigValue } from '../topics/topic-configs.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

type ConfigChange = IncrementalAlterConfigsRequest['resources'][number]['configs'][number];

/** AlterConfigOp.OpType */
const operations = { set: 0, delete: 1, append: 2, subtract: 3 } as const;

export function incrementalAlterConfigsApi(context: AlterationContext): KafkaApi {
  const messages = [incrementalAlterConfigsRequest, incrementalAlterConfigsResponse] as const;
  return kafkaApi(...messages, async (request) => {
    const alterations = request.resources.map(
      ({ configs, resourceName, resourceType }): Alteration => ({
        resourceType,
        resourceName,
        configNames: configs.map(({ name }) => name),
        change: (current) => {
          const altered = new Map(current);
          const seen = new Set<string>();
          for (const change of configs) {
            if (seen.has(change.name)) {
              refuse(errorCodes.INVALID_REQUEST, 'Error due to duplicate config keys');
            }
            seen.add(change.name);
            applyChange(altered, change);
          }
          return altered;
        },
      }),
    );
    return { responses: await answerAlterations(context, alterations, request.validateOnly) };
  });
}

function applyChange(configs: Map<string, string>, change: ConfigChange): void {
  const { configOperation, name, value } = change;
  if (configOperation === operations.delete) {
    configs.delete(name);
    return;
  }
  if (value === null) {
    return refuse(errorCodes.INVALID_REQUEST, `Null value not supported for : ${name}`);
  }
  switch (configOperation) {
    case operations.set:
      configs.set(name, value);
      return;
    case operations.append:
    case operations.subtract:
      configs.set(name, changeList(configs, change, value));
      return;
    default:
      refuse(errorCodes.INVALID_REQUEST, `Unknown operation type ${configOperation}`);
  }
}

/** What is in a list once stays there once. */
function changeList(
  configs: ReadonlyMap<string, string>,
  { configOperation, name }: ConfigChange,
  value: string,
): string {
  const isAppend = configOperation === operations.append;
  if (topicConfigByName(name)?.type !== configTypes.list) {
    const operation = isAppend ? 'APPEND' : 'SUBTRACT';
    const message = `Can't ${operation} to key ${name} because its type is not LIST.`;
    refuse(errorCodes.INVALID_CONFIG, message);
  }
  const items = new Set(
    topicConfigValue(configs, name)
      .split(',')
      .filter((item) => item !== ''),
  );
  for (const item of value.split(',')) {
    if (isAppend) items.add(item);
    else items.delete(item);
  }
  return [...items].join(',');
}

function refuse(errorCode: number, message: string): never {
  throw new ConfigRefusal(errorCode, message);
}
