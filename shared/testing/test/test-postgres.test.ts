import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestPostgres } from '../src/test-postgres.js';
import type { TestPostgres } from '../src/test-postgres.js';

let server: TestPostgres;

beforeAll(async () => {
  server = await startTestPostgres({
    prepareTemplate: async (url) => {
      await query(url, 'create table prepared (value int); insert into prepared values (1)');
    },
  });
});

afterAll(async () => {
  await server.stop();
});

async function query(url: string, statement: string): Promise<readonly object[]> {
  const sql = postgres(url, { max: 1 });
  try {
    return [...(await sql.unsafe(statement))];
  } finally {
    await sql.end();
  }
}

test('every database is a copy of the template and shares nothing with the others', async () => {
  const [first, second] = await Promise.all([server.createDatabase(), server.createDatabase()]);
  await query(first, 'insert into prepared values (2)');
  expect(await query(first, 'select value from prepared order by value')).toEqual([
    { value: 1 },
    { value: 2 },
  ]);
  expect(await query(second, 'select value from prepared')).toEqual([{ value: 1 }]);
});

test('fsync is off unless it was asked for', async () => {
  expect(await query(await server.createDatabase(), 'show fsync')).toEqual([{ fsync: 'off' }]);
  const durable = await startTestPostgres({ durable: true });
  try {
    expect(await query(await durable.createDatabase(), 'show fsync')).toEqual([{ fsync: 'on' }]);
  } finally {
    await durable.stop();
  }
});
