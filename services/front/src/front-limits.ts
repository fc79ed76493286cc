import { limits } from '@kafscale/core';

/** The bounds of one front. Those that an operator may change arrive through its options. */
export interface FrontLimits {
  readonly requestBytesMax: number;
  readonly connectionsMax: number;
  readonly connectionIdleMsMax: number;
  readonly requestsInFlightPerConnectionMax: number;
  readonly requestBytesInFlightPerConnectionMax: number;
  readonly requestBytesInFlightMax: number;
  readonly responseBytesBufferedPerConnectionMax: number;
  readonly responseDrainMsMax: number;
  readonly frameCompletionMsMax: number;
  readonly frameMemoryIdleBytesMax: number;
}

export const defaultFrontLimits: FrontLimits = {
  requestBytesMax: limits.requestBytesMax,
  connectionsMax: limits.connectionsMax,
  connectionIdleMsMax: limits.connectionIdleMsMax,
  requestsInFlightPerConnectionMax: limits.requestsInFlightPerConnectionMax,
  requestBytesInFlightPerConnectionMax: limits.requestBytesInFlightPerConnectionMax,
  requestBytesInFlightMax: limits.requestBytesInFlightMax,
  responseBytesBufferedPerConnectionMax: limits.responseBytesBufferedPerConnectionMax,
  responseDrainMsMax: limits.responseDrainMsMax,
  frameCompletionMsMax: limits.frameCompletionMsMax,
  frameMemoryIdleBytesMax: limits.frameMemoryIdleBytesMax,
};
