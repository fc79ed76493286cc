#!/usr/bin/env node
// Reads and syncs of local files wait in libuv's threads; the default of 4 is less than we let run.
process.env.UV_THREADPOOL_SIZE ??= '12';
await import('../dist/main.js');
