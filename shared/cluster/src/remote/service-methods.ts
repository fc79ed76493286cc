/** Where each service is served, and the numbers of its methods. Numbers are never reused. */
export const servicePaths = {
  ingest: '/rpc/ingest',
  fetch: '/rpc/fetch',
  coordinator: '/rpc/coordinator',
} as const;

export const kafkaMethods = { handle: 1 } as const;

export const ingestMethods = { readRecentSegment: 2 } as const;

export const fetchMethods = { readExtents: 2 } as const;

export const coordinatorMethods = {
  register: 2,
  heartbeat: 3,
  deregister: 4,
  commitSegments: 5,
  feedPosition: 6,
  findExtents: 7,
  findExtentByTimestamp: 8,
  findExtentOfMaxTimestamp: 9,
} as const;

export const coordinatorStreams = { feed: 1 } as const;
