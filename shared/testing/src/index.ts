export { startTestPostgres } from './test-postgres.js';
export type { TestPostgres, TestPostgresOptions } from './test-postgres.js';
export { takePort } from './ports.js';
export { findS3Server, startS3Server } from './s3-server.js';
export type { S3Server, S3ServerOptions } from './s3-server.js';
