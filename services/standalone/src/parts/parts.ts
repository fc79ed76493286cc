import type { Coordinator } from '@kafscale/coordinator';
import type { ClosableFetchService } from '@kafscale/fetch';
import type { Ingest } from '@kafscale/ingest';

/** The services of a process, as they come to life. */
export interface Parts {
  readonly hasFront: boolean;
  coordinator?: Coordinator;
  ingest?: Ingest;
  fetch?: ClosableFetchService;
}
