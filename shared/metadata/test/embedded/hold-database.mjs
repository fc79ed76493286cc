// A process that owns a data dir: prints one line of JSON, then obeys lines on its input.
import { startEmbeddedPostgres } from '@kafscale/metadata';
import postgres from 'postgres';

const log = { info: () => undefined, warn: () => undefined };
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
try {
  const server = await startEmbeddedPostgres({
    dataDir: process.argv[2],
    log,
    onLost: (error) => say({ lost: error.code }),
  });
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  await sql`create table if not exists kept (value int)`;
  await sql`insert into kept values (1)`;
  const [row] = await sql`select count(*)::int as count from kept`;
  say({ pid: server.pid, takenOver: server.takenOver, count: row.count });
  process.stdin.once('data', () => {
    void stop();
  });
  const stop = async () => {
    await sql.end();
    await server.stop();
    process.exit(0);
  };
} catch (error) {
  say({ code: error.code, message: error.message });
  process.exit(1);
}
