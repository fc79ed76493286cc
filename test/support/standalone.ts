import { DataDir } from './data-dir.js';
import { takePort } from '@kafscale/testing';
import { ServerProcess } from './server-process.js';

/** A standalone with ports and a data dir of its own, to be started as often as needed. */
export class Standalone {
  readonly dataDir = new DataDir();
  readonly kafkaPort: number;
  readonly httpPort: number;
  readonly env: Readonly<Record<string, string>>;

  private constructor(kafkaPort: number, httpPort: number, env: Readonly<Record<string, string>>) {
    this.kafkaPort = kafkaPort;
    this.httpPort = httpPort;
    this.env = {
      KAFSCALE_KAFKA_PORT: String(kafkaPort),
      KAFSCALE_HTTP_PORT: String(httpPort),
      KAFSCALE_DATA_DIR: this.dataDir.path,
      ...env,
    };
  }

  static async prepare(env: Readonly<Record<string, string>> = {}): Promise<Standalone> {
    return new Standalone(await takePort(), await takePort(), env);
  }

  /** Resolves when it is ready. */
  start(): Promise<ServerProcess> {
    return ServerProcess.start(this.#options);
  }

  spawn(): ServerProcess {
    return ServerProcess.spawn(this.#options);
  }

  /** Ends what is left of it and removes its data. */
  async remove(server: ServerProcess | undefined): Promise<void> {
    server?.killGroup();
    await server?.exited;
    await this.dataDir.remove();
  }

  get #options() {
    return { args: ['standalone'], env: this.env, httpPort: this.httpPort };
  }
}
