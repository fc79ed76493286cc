import { errorCodes } from '../protocol/error-codes.js';
import {
  batchCrcMatches,
  batchHeaderBytes,
  batchMagicAt,
  batchSizeAt,
  type BatchHeader,
  compressionCodecs,
  readBatchHeader,
} from './batch-header.js';

const {
  NONE,
  CORRUPT_MESSAGE,
  MESSAGE_TOO_LARGE,
  INVALID_TIMESTAMP,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
  UNSUPPORTED_COMPRESSION_TYPE,
  INVALID_RECORD,
} = errorCodes;

/** ByteBufferLogInputStream: what must be there before Kafka looks at the magic byte. */
const bytesUpToMagic = 17;
/** LegacyRecord.RECORD_OVERHEAD_V0: a smaller batchLength is nonsense whatever the format. */
const batchLengthMin = 14;

export interface ProduceRules {
  /** Version of the Produce request. */
  readonly produceVersion: number;
  /** max.message.bytes of the topic. */
  readonly messageBytesMax: number;
  /** message.timestamp.before.max.ms and after.max.ms around now; infinite where not bounded. */
  readonly timestampMsMin: number;
  readonly timestampMsMax: number;
  /** With message.timestamp.type=LogAppendTime the producer's timestamps are not judged. */
  readonly isLogAppendTime: boolean;
}

/**
 * Judges what a producer sent for one partition by its header alone, and reads that header into
 * `into`. Returns Kafka's error code, 0 when the batch may be written. The order of the rungs is
 * Kafka's: ProduceRequest.validateRecords, UnifiedLog.analyzeAndValidateRecords, LogValidator.
 *
 * The CRC is the caller's to check (batchCrcMatches), perhaps in another thread. Only a batch that
 * fails a rung after Kafka's CRC check is checked here, because a flipped bit must be answered
 * with the retriable CORRUPT_MESSAGE and not with the fatal INVALID_RECORD.
 *
 * Stricter than Kafka: trailing bytes, which it cuts off, are INVALID_RECORD here; and looser in
 * detail: Kafka answers a codec that does not exist with UNKNOWN_SERVER_ERROR.
 */
export function validateProducedRecords(
  records: Buffer | null,
  rules: ProduceRules,
  into: BatchHeader,
): number {
  if (records === null || records.length < bytesUpToMagic) return INVALID_RECORD;
  const sizeBytes = batchSizeAt(records, 0);
  if (sizeBytes < batchLengthMin + 12) return CORRUPT_MESSAGE;
  const magic = batchMagicAt(records, 0);
  if (magic < 0 || magic > 2) return CORRUPT_MESSAGE;
  // A truncated batch is no batch, and a second one is one too many: one per partition since v3.
  if (sizeBytes !== records.length) return INVALID_RECORD;
  if (magic !== 2) return INVALID_RECORD;
  if (sizeBytes < batchHeaderBytes) return CORRUPT_MESSAGE;
  const header = readBatchHeader(records, 0, into);
  if (header.compressionCodec > compressionCodecs.zstd) return UNSUPPORTED_COMPRESSION_TYPE;
  if (header.compressionCodec === compressionCodecs.zstd && rules.produceVersion < 7) {
    return UNSUPPORTED_COMPRESSION_TYPE;
  }
  // What Kafka answers to a principal that may not use the transactional id, and what our
  // InitProducerId answers: fatal in every client, where a retriable code would make them spin.
  if (header.isTransactional) return TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
  if (header.baseOffset !== 0) return INVALID_RECORD;
  if (sizeBytes > rules.messageBytesMax) return MESSAGE_TOO_LARGE;
  const errorCode = validateContents(header, rules);
  return errorCode === NONE || batchCrcMatches(records, 0) ? errorCode : CORRUPT_MESSAGE;
}

/** What Kafka judges after the CRC: LogValidator.validateBatch and validateTimestamp. */
function validateContents(header: BatchHeader, rules: ProduceRules): number {
  if (header.recordCount <= 0) return INVALID_RECORD;
  if (header.recordCount !== header.lastOffsetDelta + 1) return INVALID_RECORD;
  if (header.isControl) return INVALID_RECORD;
  if (!isValidProducer(header)) return INVALID_RECORD;
  return areTimestampsValid(header, rules) ? NONE : INVALID_TIMESTAMP;
}

function isValidProducer(header: BatchHeader): boolean {
  if (header.producerId === -1) return true;
  if (header.producerId < -1 || !Number.isSafeInteger(header.producerId)) return false;
  return header.producerEpoch >= 0 && header.baseSequence >= 0;
}

/**
 * Kafka judges every record's timestamp; the header's maximum and the first record's are what can
 * be judged without decompressing. −1 is "no timestamp".
 */
function areTimestampsValid(header: BatchHeader, rules: ProduceRules): boolean {
  if (!Number.isSafeInteger(header.firstTimestampMs)) return false;
  if (!Number.isSafeInteger(header.maxTimestampMs)) return false;
  if (rules.isLogAppendTime) return true;
  if (header.isLogAppendTime) return false; // LogValidator: only the server sets this type
  if (header.maxTimestampMs > rules.timestampMsMax) return false;
  return header.firstTimestampMs === -1 || header.firstTimestampMs >= rules.timestampMsMin;
}
