export { startTestPostgres } from './test-postgres.js';
export type { TestPostgres, TestPostgresOptions } from './test-postgres.js';
export { takePort } from './ports.js';
export { findS3Server, startS3Server } from './s3-server.js';
export type { S3Server, S3ServerOptions } from './s3-server.js';
export { hasS3, s3Endpoint, s3Options, s3Title, s3Url } from './s3-settings.js';
