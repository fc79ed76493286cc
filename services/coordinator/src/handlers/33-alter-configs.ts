/**
 * AlterConfigs (key 33), versions 0 to 2: what is named is set, everything else goes back to its
 * default. The rules that it shares with IncrementalAlterConfigs are in topics/alter-configs.ts.
 *
 * A null value or a name twice: INVALID_REQUEST (ConfigAdminManager.preprocess).
 */
import { alterConfigsRequest, alterConfigsResponse, errorCodes } from '@kafscale/codec';
import { answerAlterations, ConfigRefusal } from '../topics/alter-configs.js';
import type { Alteration, AlterationContext } from '../topics/alter-configs.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

export function alterConfigsApi(context: AlterationContext): KafkaApi {
  return kafkaApi(alterConfigsRequest, alterConfigsResponse, async (request) => {
    const alterations = request.resources.map(
      ({ configs, resourceName, resourceType }): Alteration => ({
        resourceType,
        resourceName,
        configNames: configs.map(({ name }) => name),
        change: () => {
          const altered = new Map<string, string>();
          for (const { name, value } of configs) {
            if (value === null) refuse(`Null value not supported for : ${name}`);
            else if (altered.has(name)) refuse(`Error due to duplicate config keys : ${name}`);
            else altered.set(name, value);
          }
          return altered;
        },
      }),
    );
    return { responses: await answerAlterations(context, alterations, request.validateOnly) };
  });
}

function refuse(message: string): never {
  throw new ConfigRefusal(errorCodes.INVALID_REQUEST, message);
}
