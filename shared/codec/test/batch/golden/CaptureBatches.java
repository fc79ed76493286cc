import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.*;
import org.apache.kafka.common.record.internal.*;

/** Writes record batches with Apache Kafka's own MemoryRecordsBuilder. Run by capture.sh. */
public class CaptureBatches {
  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static void write(Path folder, String name, MemoryRecordsBuilder builder) throws Exception {
    ByteBuffer bytes = builder.build().buffer();
    byte[] copy = new byte[bytes.remaining()];
    bytes.get(copy);
    Files.write(folder.resolve(name + ".golden"), copy);
  }

  static MemoryRecordsBuilder builder(Compression compression, TimestampType type, long producerId, short epoch, int sequence) {
    return MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2, compression, type,
        0L, type == TimestampType.LOG_APPEND_TIME ? 1700000009999L : RecordBatch.NO_TIMESTAMP, producerId, epoch, sequence);
  }

  public static void main(String[] arguments) throws Exception {
    Path folder = Path.of(arguments[0]);
    MemoryRecordsBuilder small = builder(Compression.NONE, TimestampType.CREATE_TIME, 4711L, (short) 3, 2147483646);
    small.append(1700000000000L, utf8("key-0"), utf8("value-0"), new Header[] {new RecordHeader("h", utf8("1")), new RecordHeader("n", (byte[]) null)});
    small.append(1700000000250L, (byte[]) null, utf8("value-1"));
    small.append(1699999999000L, utf8("key-2"), (byte[]) null);
    write(folder, "small", small);
    MemoryRecordsBuilder appendTime = builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, -1L, (short) -1, -1);
    appendTime.append(1700000000000L, utf8("a"), utf8("b"));
    write(folder, "append-time", appendTime);
    for (CompressionType type : CompressionType.values()) {
      if (type == CompressionType.NONE) continue;
      MemoryRecordsBuilder many = builder(Compression.of(type).build(), TimestampType.CREATE_TIME, -1L, (short) -1, -1);
      for (int index = 0; index < 2000; index++) {
        many.append(1700000000000L + index, utf8("k" + index), utf8("the quick brown fox " + index + " jumps over the lazy dog"));
      }
      write(folder, type.name, many);
    }
  }
}
