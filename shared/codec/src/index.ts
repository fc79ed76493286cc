// Kafka wire protocol
export { advertisedApis, apiByKey, apis, isServed } from './protocol/apis.js';
export type { Api, ApiName } from './protocol/apis.js';
export { errorCodes, errorName } from './protocol/error-codes.js';
export type { ErrorCode, ErrorName } from './protocol/error-codes.js';
export { ProtocolError } from './protocol/errors.js';
export type { ProtocolErrorCode } from './protocol/errors.js';
export {
  encodeRequestHeader,
  encodeResponseHeader,
  parseRequestHeader,
  parseResponseHeader,
  peekRequestPrefix,
} from './protocol/headers.js';
export type { RequestHeader, RequestPrefix, ResponseHeader } from './protocol/headers.js';
export { message } from './protocol/message.js';
export type {
  AnyMessage,
  Decoded,
  Encodable,
  Message,
  MessageDeclaration,
} from './protocol/message.js';
export { Reader } from './protocol/reader.js';
export * as schema from './protocol/schema.js';
export type { Field, FieldOptions, Fields, Shape } from './protocol/schema.js';
export { uuidFromBytes, uuidToBytes, zeroUuid } from './protocol/uuid.js';
export { gatherLength, Writer } from './protocol/writer.js';
export type { GatherBytes } from './protocol/writer.js';
export { produceRequest, produceResponse } from './protocol/messages/00-produce.js';
export type {
  ProduceRequest,
  ProduceRequestInput,
  ProduceResponse,
  ProduceResponseInput,
} from './protocol/messages/00-produce.js';
export { fetchRequest, fetchResponse } from './protocol/messages/01-fetch.js';
export type {
  FetchRequest,
  FetchRequestInput,
  FetchResponse,
  FetchResponseInput,
} from './protocol/messages/01-fetch.js';
export { listOffsetsRequest, listOffsetsResponse } from './protocol/messages/02-list-offsets.js';
export type {
  ListOffsetsRequest,
  ListOffsetsRequestInput,
  ListOffsetsResponse,
  ListOffsetsResponseInput,
} from './protocol/messages/02-list-offsets.js';
export { metadataRequest, metadataResponse } from './protocol/messages/03-metadata.js';
export type {
  MetadataRequest,
  MetadataRequestInput,
  MetadataResponse,
  MetadataResponseInput,
} from './protocol/messages/03-metadata.js';
export { offsetCommitRequest, offsetCommitResponse } from './protocol/messages/08-offset-commit.js';
export type {
  OffsetCommitRequest,
  OffsetCommitRequestInput,
  OffsetCommitResponse,
  OffsetCommitResponseInput,
} from './protocol/messages/08-offset-commit.js';
export { offsetFetchRequest, offsetFetchResponse } from './protocol/messages/09-offset-fetch.js';
export type {
  OffsetFetchRequest,
  OffsetFetchRequestInput,
  OffsetFetchResponse,
  OffsetFetchResponseInput,
} from './protocol/messages/09-offset-fetch.js';
export {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from './protocol/messages/10-find-coordinator.js';
export type {
  FindCoordinatorRequest,
  FindCoordinatorRequestInput,
  FindCoordinatorResponse,
  FindCoordinatorResponseInput,
} from './protocol/messages/10-find-coordinator.js';
export { joinGroupRequest, joinGroupResponse } from './protocol/messages/11-join-group.js';
export type {
  JoinGroupRequest,
  JoinGroupRequestInput,
  JoinGroupResponse,
  JoinGroupResponseInput,
} from './protocol/messages/11-join-group.js';
export { heartbeatRequest, heartbeatResponse } from './protocol/messages/12-heartbeat.js';
export type {
  HeartbeatRequest,
  HeartbeatRequestInput,
  HeartbeatResponse,
  HeartbeatResponseInput,
} from './protocol/messages/12-heartbeat.js';
export { leaveGroupRequest, leaveGroupResponse } from './protocol/messages/13-leave-group.js';
export type {
  LeaveGroupRequest,
  LeaveGroupRequestInput,
  LeaveGroupResponse,
  LeaveGroupResponseInput,
} from './protocol/messages/13-leave-group.js';
export { syncGroupRequest, syncGroupResponse } from './protocol/messages/14-sync-group.js';
export type {
  SyncGroupRequest,
  SyncGroupRequestInput,
  SyncGroupResponse,
  SyncGroupResponseInput,
} from './protocol/messages/14-sync-group.js';
export {
  describeGroupsRequest,
  describeGroupsResponse,
} from './protocol/messages/15-describe-groups.js';
export type {
  DescribeGroupsRequest,
  DescribeGroupsRequestInput,
  DescribeGroupsResponse,
  DescribeGroupsResponseInput,
} from './protocol/messages/15-describe-groups.js';
export { listGroupsRequest, listGroupsResponse } from './protocol/messages/16-list-groups.js';
export type {
  ListGroupsRequest,
  ListGroupsRequestInput,
  ListGroupsResponse,
  ListGroupsResponseInput,
} from './protocol/messages/16-list-groups.js';
export {
  saslHandshakeRequest,
  saslHandshakeResponse,
} from './protocol/messages/17-sasl-handshake.js';
export type {
  SaslHandshakeRequest,
  SaslHandshakeRequestInput,
  SaslHandshakeResponse,
  SaslHandshakeResponseInput,
} from './protocol/messages/17-sasl-handshake.js';
export { apiVersionsRequest, apiVersionsResponse } from './protocol/messages/18-api-versions.js';
export type {
  ApiVersionsRequest,
  ApiVersionsRequestInput,
  ApiVersionsResponse,
  ApiVersionsResponseInput,
} from './protocol/messages/18-api-versions.js';
export { createTopicsRequest, createTopicsResponse } from './protocol/messages/19-create-topics.js';
export type {
  CreateTopicsRequest,
  CreateTopicsRequestInput,
  CreateTopicsResponse,
  CreateTopicsResponseInput,
} from './protocol/messages/19-create-topics.js';
export { deleteTopicsRequest, deleteTopicsResponse } from './protocol/messages/20-delete-topics.js';
export type {
  DeleteTopicsRequest,
  DeleteTopicsRequestInput,
  DeleteTopicsResponse,
  DeleteTopicsResponseInput,
} from './protocol/messages/20-delete-topics.js';
export {
  deleteRecordsRequest,
  deleteRecordsResponse,
} from './protocol/messages/21-delete-records.js';
export type {
  DeleteRecordsRequest,
  DeleteRecordsRequestInput,
  DeleteRecordsResponse,
  DeleteRecordsResponseInput,
} from './protocol/messages/21-delete-records.js';
export {
  initProducerIdRequest,
  initProducerIdResponse,
} from './protocol/messages/22-init-producer-id.js';
export type {
  InitProducerIdRequest,
  InitProducerIdRequestInput,
  InitProducerIdResponse,
  InitProducerIdResponseInput,
} from './protocol/messages/22-init-producer-id.js';
export {
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from './protocol/messages/23-offset-for-leader-epoch.js';
export type {
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochRequestInput,
  OffsetForLeaderEpochResponse,
  OffsetForLeaderEpochResponseInput,
} from './protocol/messages/23-offset-for-leader-epoch.js';
export {
  describeConfigsRequest,
  describeConfigsResponse,
} from './protocol/messages/32-describe-configs.js';
export type {
  DescribeConfigsRequest,
  DescribeConfigsRequestInput,
  DescribeConfigsResponse,
  DescribeConfigsResponseInput,
} from './protocol/messages/32-describe-configs.js';
export { alterConfigsRequest, alterConfigsResponse } from './protocol/messages/33-alter-configs.js';
export type {
  AlterConfigsRequest,
  AlterConfigsRequestInput,
  AlterConfigsResponse,
  AlterConfigsResponseInput,
} from './protocol/messages/33-alter-configs.js';
export {
  saslAuthenticateRequest,
  saslAuthenticateResponse,
} from './protocol/messages/36-sasl-authenticate.js';
export type {
  SaslAuthenticateRequest,
  SaslAuthenticateRequestInput,
  SaslAuthenticateResponse,
  SaslAuthenticateResponseInput,
} from './protocol/messages/36-sasl-authenticate.js';
export {
  createPartitionsRequest,
  createPartitionsResponse,
} from './protocol/messages/37-create-partitions.js';
export type {
  CreatePartitionsRequest,
  CreatePartitionsRequestInput,
  CreatePartitionsResponse,
  CreatePartitionsResponseInput,
} from './protocol/messages/37-create-partitions.js';
export { deleteGroupsRequest, deleteGroupsResponse } from './protocol/messages/42-delete-groups.js';
export type {
  DeleteGroupsRequest,
  DeleteGroupsRequestInput,
  DeleteGroupsResponse,
  DeleteGroupsResponseInput,
} from './protocol/messages/42-delete-groups.js';
export {
  incrementalAlterConfigsRequest,
  incrementalAlterConfigsResponse,
} from './protocol/messages/44-incremental-alter-configs.js';
export type {
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsRequestInput,
  IncrementalAlterConfigsResponse,
  IncrementalAlterConfigsResponseInput,
} from './protocol/messages/44-incremental-alter-configs.js';
export { offsetDeleteRequest, offsetDeleteResponse } from './protocol/messages/47-offset-delete.js';
export type {
  OffsetDeleteRequest,
  OffsetDeleteRequestInput,
  OffsetDeleteResponse,
  OffsetDeleteResponseInput,
} from './protocol/messages/47-offset-delete.js';
export {
  describeClusterRequest,
  describeClusterResponse,
} from './protocol/messages/60-describe-cluster.js';
export type {
  DescribeClusterRequest,
  DescribeClusterRequestInput,
  DescribeClusterResponse,
  DescribeClusterResponseInput,
} from './protocol/messages/60-describe-cluster.js';

// Record batches v2
export {
  batchBaseOffsetAt,
  batchBytesBeforeCrc,
  batchCrcMatches,
  batchHeaderBytes,
  batchMagicAt,
  batchOffsetSpanAt,
  batchSizeAt,
  compressionCodecs,
  emptyBatchHeader,
  readBatchHeader,
  setLogAppendTime,
  stampBatch,
} from './batch/batch-header.js';
export type { BatchHeader, CompressionName } from './batch/batch-header.js';
export { decompressRecords } from './batch/compression.js';
export { decodeRecords } from './batch/decode-records.js';
export type { DecodedBatch, DecodedRecord, RecordHeader } from './batch/decode-records.js';
export { encodeBatch, encodePlainBatch } from './batch/encode-batch.js';
export type { BatchToEncode, RecordToEncode } from './batch/encode-batch.js';
export { validateProducedRecords } from './batch/validate-produced-records.js';
export type { ProduceRules } from './batch/validate-produced-records.js';
export { forEachBatch, nextBatchPosition } from './batch/walk-batches.js';

// Segment objects
export { decodeSegmentFooter } from './segment/decode-segment-footer.js';
export type { DecodedSegmentTail } from './segment/decode-segment-footer.js';
export { encodeSegmentFooter } from './segment/encode-segment-footer.js';
export { formatSegmentDump } from './segment/format-segment-dump.js';
export type { SegmentDumpOptions } from './segment/format-segment-dump.js';
export { readExtentBatches, readSegmentFooter } from './segment/read-segment.js';
export type { SegmentBatch, SegmentReader } from './segment/read-segment.js';
export type {
  BatchIndexEntry,
  SegmentExtent,
  SegmentFooter,
  SegmentWriter,
} from './segment/segment-footer.js';
export { segmentIdFromKey, segmentKey, segmentsPrefix } from './segment/segment-key.js';

// Index objects
export {
  indexClaimKey,
  indexClusterPrefix,
  indexEntryKey,
  indexLogPrefix,
  indexPartKey,
  indexPrefix,
  parseIndexClaimKey,
  parseIndexKey,
} from './index-objects/index-key.js';
export type { IndexEntryKind, IndexKey, IndexLogId } from './index-objects/index-key.js';
export {
  decodeIndexClaim,
  decodeIndexEntry,
  decodeIndexPart,
  encodeIndexClaim,
  encodeIndexEntry,
  encodeIndexPart,
} from './index-objects/index-object.js';
export type { IndexClaim, IndexEntry, IndexPartReference } from './index-objects/index-object.js';
export { indexObjectKind, indexObjectKinds } from './index-objects/index-envelope.js';
export type { EncodedIndexObject } from './index-objects/index-envelope.js';
export {
  coldRangeKey,
  coldRangesPrefix,
  decodeColdRange,
  encodeColdRange,
  parseColdRangeKey,
} from './index-objects/cold-range.js';
export type { ColdExtent, ColdRange } from './index-objects/cold-range.js';
export { emptyIndexRecords } from './index-objects/index-records.js';
export type {
  IndexColdRange,
  IndexExtent,
  IndexGroup,
  IndexGroupOffset,
  IndexPartition,
  IndexProducer,
  IndexRecords,
  IndexSegment,
  IndexTopic,
} from './index-objects/index-records.js';

// Checksums
export { firstCorruptBatch } from './checksum/check-batches.js';
export { crc32cCombine } from './checksum/crc32c-combine.js';
