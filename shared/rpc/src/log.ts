/** How this package reports what an operator must know. Never called per message. */
export type RpcLog = (
  level: 'info' | 'warn',
  message: string,
  fields: Readonly<Record<string, string | number | boolean>>,
) => void;
