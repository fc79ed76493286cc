import { runCli } from './cli/index.js';
import { runRoles } from './process/run-roles.js';

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  commands: {
    standalone: (context) => runRoles('standalone', context),
    front: (context) => runRoles('front', context),
    ingest: (context) => runRoles('ingest', context),
    fetch: (context) => runRoles('fetch', context),
    coordinator: (context) => runRoles('coordinator', context),
  },
  stdout: process.stdout,
  stderr: process.stderr,
});
