import { errorCodes } from '@kafscale/codec';
import { isOperatingError, OperatingError } from '@kafscale/core';
import type { Broker } from '../cluster/leader-choice.js';
import { topicErrorCode } from './topic-admin.js';
import type { TopicAdmin } from './topic-admin.js';
import { judgeTopicConfigs } from './topic-configs.js';

/** One resource of AlterConfigs or IncrementalAlterConfigs, and what it asks for. */
export interface Alteration {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly configNames: readonly string[];
  /** From what is set to what shall be; throws ConfigRefusal. */
  readonly change: (current: ReadonlyMap<string, string>) => ReadonlyMap<string, string>;
}

export interface AlterationContext {
  readonly topics: TopicAdmin;
  readonly brokers: () => readonly Broker[];
  /** Committed and in the feed. */
  readonly onAltered: () => void;
}

export interface AlterationAnswer {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly resourceType: number;
  readonly resourceName: string;
}

/** What a client is told instead of a change. */
export class ConfigRefusal extends OperatingError {
  readonly errorCode: number;

  constructor(errorCode: number, message: string) {
    super('CONFIG_REFUSED', message);
    this.errorCode = errorCode;
  }
}

const resourceTypes = { topic: 2, broker: 4 } as const;

/** In Kafka: ConfigAdminManager and ConfigurationControlManager. Every resource for itself. */
export async function answerAlterations(
  context: AlterationContext,
  alterations: readonly Alteration[],
  validateOnly: boolean,
): Promise<AlterationAnswer[]> {
  const counts = new Map<string, number>();
  for (const each of alterations) counts.set(keyOf(each), (counts.get(keyOf(each)) ?? 0) + 1);
  const answers: AlterationAnswer[] = [];
  for (const alteration of alterations) {
    const isRepeated = (counts.get(keyOf(alteration)) ?? 0) > 1;
    const refusal = await refusalOf(context, alteration, { isRepeated, validateOnly });
    const { resourceName, resourceType } = alteration;
    answers.push({
      errorCode: refusal?.errorCode ?? errorCodes.NONE,
      errorMessage: refusal?.message ?? null,
      resourceType,
      resourceName,
    });
  }
  return answers;
}

function keyOf({ resourceName, resourceType }: Alteration): string {
  return `${resourceType}/${resourceName}`;
}

interface Refusal {
  readonly errorCode: number;
  readonly message: string;
}

async function refusalOf(
  context: AlterationContext,
  alteration: Alteration,
  how: { readonly isRepeated: boolean; readonly validateOnly: boolean },
): Promise<Refusal | null> {
  try {
    if (how.isRepeated) {
      throw new ConfigRefusal(
        errorCodes.INVALID_REQUEST,
        'Each resource must appear at most once.',
      );
    }
    refuseOthers(context, alteration);
    await alterTopic(context, alteration, how.validateOnly);
    return null;
  } catch (error) {
    if (error instanceof ConfigRefusal) return error;
    if (!isOperatingError(error)) throw error;
    return { errorCode: topicErrorCode(error), message: error.message };
  }
}

async function alterTopic(
  { onAltered, topics }: AlterationContext,
  { change, resourceName }: Alteration,
  validateOnly: boolean,
): Promise<void> {
  const topic = topics.byName(resourceName);
  if (topic === undefined) {
    throw new ConfigRefusal(
      errorCodes.UNKNOWN_TOPIC_OR_PARTITION,
      `The topic '${resourceName}' does not exist.`,
    );
  }
  const checked = (current: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
    const altered = change(current);
    const complaint = judgeTopicConfigs(altered);
    if (complaint !== null) throw new ConfigRefusal(errorCodes.INVALID_CONFIG, complaint);
    return altered;
  };
  if (validateOnly) checked(topics.configsOf(topic.topicId));
  else await topics.alterConfigs(topic.topicId, checked);
  if (!validateOnly) onAltered();
}

/** Anything but a topic. No setting of a broker can be changed while it runs. */
function refuseOthers({ brokers }: AlterationContext, alteration: Alteration): void {
  const { configNames, resourceName, resourceType } = alteration;
  if (resourceType === resourceTypes.topic) return;
  if (resourceType !== resourceTypes.broker) {
    throw new ConfigRefusal(
      errorCodes.INVALID_REQUEST,
      `Unsupported resource type ${resourceType}.`,
    );
  }
  const isBroker =
    resourceName === '' || brokers().some(({ brokerId }) => String(brokerId) === resourceName);
  // DynamicBrokerConfig.validateConfigs, as ConfigAdminManager passes it on.
  const message = isBroker
    ? `Cannot update these configs dynamically: [${configNames.join(', ')}]`
    : `Unexpected broker id ${resourceName}.`;
  throw new ConfigRefusal(errorCodes.INVALID_REQUEST, message);
}
