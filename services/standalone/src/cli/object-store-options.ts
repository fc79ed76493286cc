import type { Config } from '@kafscale/config';
import type { ObjectStoreOptions } from '@kafscale/storage';

/** What the object store needs of the configuration, beside its URL. */
export function objectStoreOptions(config: Config): ObjectStoreOptions {
  return {
    pathStyle: config.s3PathStyle,
    ...(config.s3Endpoint === undefined ? {} : { endpoint: config.s3Endpoint }),
    ...(config.s3Region === undefined ? {} : { region: config.s3Region }),
  };
}
