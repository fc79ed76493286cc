import { runProgram } from '../run-program.js';

export interface JavaTools {
  /**
   * Runs a tool, named by its class below `org.apache.kafka.tools`, against the server. Resolves with
   * its standard output; rejects unless it exits with 0.
   */
  run(tool: string, parameters: readonly string[], input?: string): Promise<string>;
}

/** @param java the command with its options and class path */
export function openJavaTools(java: readonly string[], bootstrap: string): JavaTools {
  const [command = 'java', ...options] = java;
  return {
    run: async (tool, parameters, input = '') => {
      const { stdout } = await runProgram({
        label: tool,
        command,
        arguments: [
          ...options,
          `org.apache.kafka.tools.${tool}`,
          ['--bootstrap-server', bootstrap],
          ...parameters,
        ].flat(),
        input,
      });
      return stdout.toString();
    },
  };
}
