import type { ObjectStoreOptions } from '@kafscale/storage';

/** Of the S3 server that is given to tests, as by .ci/run. */
const names = [
  'KAFSCALE_TEST_S3_ENDPOINT',
  'KAFSCALE_TEST_S3_BUCKET',
  'KAFSCALE_TEST_S3_ACCESS_KEY',
  'KAFSCALE_TEST_S3_SECRET_KEY',
];
const missing = names.filter((name) => (process.env[name] ?? '') === '');

export const hasS3 = missing.length === 0;

/** For suite titles: says what was left out and why. */
export function s3Title(title: string): string {
  return hasS3 ? title : `${title} — LEFT OUT: ${missing.join(', ')} not set`;
}

export function s3Endpoint(): string {
  return process.env['KAFSCALE_TEST_S3_ENDPOINT'] ?? '';
}

/** A place in the test bucket that nobody else uses. */
export function s3Url(): string {
  const unique = `${process.pid}-${Math.random().toString(36).slice(2)}`;
  return `s3://${process.env['KAFSCALE_TEST_S3_BUCKET']}/test/${unique}`;
}

export function s3Options(endpoint = s3Endpoint()): ObjectStoreOptions {
  return {
    endpoint,
    pathStyle: true,
    credentials: {
      accessKeyId: process.env['KAFSCALE_TEST_S3_ACCESS_KEY'] ?? '',
      secretAccessKey: process.env['KAFSCALE_TEST_S3_SECRET_KEY'] ?? '',
    },
  };
}
