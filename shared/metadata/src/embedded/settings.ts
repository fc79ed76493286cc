import type { PostgresBinaries } from './binaries.js';

/**
 * The server's settings, written before each launch. The first line names the binaries, so that a
 * server left behind by another release is seen to be different.
 */
export function renderSettings(binaries: PostgresBinaries, durable: boolean): string {
  const settings: Record<string, string> = {
    listen_addresses: "'127.0.0.1'",
    // TCP only: the path of a Unix socket may be no longer than 107 bytes.
    unix_socket_directories: "''",
    password_encryption: "'scram-sha-256'",
    // A test server has many databases, each with sessions of its own.
    max_connections: durable ? '50' : '200',
    superuser_reserved_connections: '3',

    shared_buffers: '96MB',
    work_mem: '8MB',
    maintenance_work_mem: '64MB',
    huge_pages: 'off',
    io_method: "'sync'",
    max_worker_processes: '2',
    max_logical_replication_workers: '0',
    max_parallel_workers: '0',
    max_parallel_workers_per_gather: '0',
    max_parallel_maintenance_workers: '0',
    jit: 'off',
    random_page_cost: '1.1',

    fsync: durable ? 'on' : 'off',
    synchronous_commit: durable ? 'on' : 'off',
    full_page_writes: durable ? 'on' : 'off',
    wal_level: "'minimal'",
    max_wal_senders: '0',
    wal_buffers: '8MB',
    // Bounds crash recovery: what lies between two checkpoints is replayed at the next start.
    max_wal_size: '256MB',
    min_wal_size: '64MB',
    checkpoint_timeout: '5min',
    checkpoint_completion_target: '0.9',

    // Heads, producer states and group offsets are a few hot rows that are updated all the time.
    autovacuum_naptime: '10s',
    autovacuum_max_workers: '2',
    autovacuum_vacuum_threshold: '200',
    autovacuum_vacuum_scale_factor: '0.05',
    autovacuum_analyze_threshold: '500',
    autovacuum_analyze_scale_factor: '0.05',
    autovacuum_vacuum_insert_scale_factor: '0.1',
    autovacuum_vacuum_cost_delay: '2ms',
    autovacuum_vacuum_cost_limit: '1000',

    // A session of a killed process must not hold locks for long.
    client_connection_check_interval: '1s',
    idle_in_transaction_session_timeout: '60s',
    tcp_keepalives_idle: '30',

    logging_collector: 'off',
    log_destination: "'stderr'",
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    log_line_prefix: "'%m [%p] %a '",
    log_timezone: "'UTC'",
    timezone: "'UTC'",
    lc_messages: "'C'",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const head = `# ${binaries.postgres} ${binaries.version}. Rewritten at each start; do not edit.`;
  return [head, ...lines, ''].join('\n');
}

/** Only this machine's TCP, only with the secret. */
export const hostBasedAuthentication = [
  '# TYPE DATABASE USER ADDRESS METHOD',
  'host all all 127.0.0.1/32 scram-sha-256',
  '',
].join('\n');
