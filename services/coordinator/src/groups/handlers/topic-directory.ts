/** What committing and fetching offsets needs to know of topics; from the shard owner's memory. */
export interface TopicDirectory {
  byName(name: string): KnownTopic | undefined;
  byId(topicId: string): KnownTopic | undefined;
}

export interface KnownTopic {
  readonly topicId: string;
  readonly name: string;
  readonly partitions: { readonly length: number };
}
