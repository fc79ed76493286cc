import { readFileSync } from 'node:fs';

const packageFile = new URL('../package.json', import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };

/** Name and version of the program, as it stands in the footers of its segments. */
export const softwareVersion = `kafscale ${version}`;
