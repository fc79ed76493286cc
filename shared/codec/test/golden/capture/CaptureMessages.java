import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BinaryNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.InputStream;
import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * Fills Kafka's own message classes with values, at every version Kafka has, and writes what they
 * serialize to: one line of JSON per message, {message, version, sample, hex, json}. In `json`, made
 * by Kafka's JSON converters, an int64 is a string that ends with n.
 *
 * Arguments: the folder to write to, then names like 01-fetch:Fetch.
 */
public class CaptureMessages {
  private static final ObjectMapper MAPPER =
      JsonMapper.builder().enable(JsonParser.Feature.ALLOW_COMMENTS).build();
  private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

  private final Map<String, JsonNode> commonStructs = new HashMap<>();
  private final boolean sparse;
  private int counter = 0;

  private CaptureMessages(boolean sparse) {
    this.sparse = sparse;
  }

  public static void main(String[] arguments) throws Exception {
    for (String argument : Arrays.asList(arguments).subList(1, arguments.length)) {
      String[] fileAndName = argument.split(":");
      Path file = Path.of(arguments[0], fileAndName[0] + ".jsonl");
      try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(file))) {
        for (String kind : new String[] {"Request", "Response"}) capture(out, fileAndName[1] + kind);
      }
    }
  }

  private static void capture(PrintWriter out, String name) throws Exception {
    JsonNode definition;
    String resource = "/common/message/" + name + ".json";
    try (InputStream in = CaptureMessages.class.getResourceAsStream(resource)) {
      definition = MAPPER.readTree(in);
    }
    short[] valid = range(definition.get("validVersions").asText());
    for (short version = valid[0]; version <= valid[1]; version++) {
      for (boolean sparse : new boolean[] {false, true}) {
        capture(out, definition, version, sparse);
      }
    }
  }

  private static void capture(PrintWriter out, JsonNode definition, short version, boolean sparse)
      throws Exception {
    CaptureMessages filler = new CaptureMessages(sparse);
    if (definition.has("commonStructs")) {
      for (JsonNode each : definition.get("commonStructs")) {
        filler.commonStructs.put(each.get("name").asText(), each.get("fields"));
      }
    }
    String name = definition.get("name").asText();
    String type = "org.apache.kafka.common.message." + name + "Data";
    Class<?> converter = Class.forName(type + "JsonConverter");
    Method read = converter.getMethod("read", JsonNode.class, short.class);
    Method write =
        converter.getMethod("write", Class.forName(type), short.class, boolean.class);
    JsonNode filled = filler.struct(definition.get("fields"), version);
    Message message = (Message) read.invoke(null, filled, version);
    ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
    ObjectNode line = NODES.objectNode();
    line.put("message", name).put("version", version).put("sample", sparse ? "sparse" : "full");
    line.put("hex", HexFormat.of().formatHex(bytes.array(), bytes.position(), bytes.limit()));
    JsonNode written = (JsonNode) write.invoke(null, message, version, true);
    line.set("json", readable(written, filled));
    out.println(MAPPER.writeValueAsString(line));
  }

  private ObjectNode struct(JsonNode fields, short version) {
    ObjectNode result = NODES.objectNode();
    for (JsonNode field : fields) {
      if (!contains(field.get("versions").asText(), version)) continue;
      // A field that is left out of the JSON must be tagged; it then has its default.
      if (sparse && contains(field.path("taggedVersions").asText("none"), version)) continue;
      String name = field.get("name").asText();
      String key = Character.toLowerCase(name.charAt(0)) + name.substring(1);
      result.set(key, value(field, version));
    }
    return result;
  }

  private JsonNode value(JsonNode field, short version) {
    String type = field.get("type").asText();
    boolean nullable = contains(field.path("nullableVersions").asText("none"), version);
    if (sparse && nullable) return NullNode.getInstance();
    if (!type.startsWith("[]")) return scalar(field, type, version);
    ArrayNode array = NODES.arrayNode();
    // Sparse arrays have one element, so that the null fields inside are seen as well.
    for (int left = sparse ? 1 : 2; left > 0; left--) {
      array.add(scalar(field, type.substring(2), version));
    }
    return array;
  }

  private JsonNode scalar(JsonNode field, String type, short version) {
    counter++;
    switch (type) {
      case "bool":
        return BooleanNode.valueOf(!sparse);
      case "int8":
        return IntNode.valueOf(sparse ? Byte.MIN_VALUE : counter % 0x80);
      case "int16":
        return IntNode.valueOf(sparse ? Short.MIN_VALUE : 0x100 + counter);
      case "uint16":
        return IntNode.valueOf(sparse ? 0xffff : 0x100 + counter);
      case "int32":
        return IntNode.valueOf(sparse ? Integer.MIN_VALUE : 0x1020300 + counter);
      case "int64":
        return LongNode.valueOf(sparse ? Long.MIN_VALUE : 0x102030405060700L + counter);
      case "uuid":
        Uuid uuid = new Uuid(0x0123456789abcdefL, 0x8000000000000000L + counter);
        return new TextNode((sparse ? Uuid.ZERO_UUID : uuid).toString());
      case "string":
        return new TextNode(sparse ? "" : text(field.get("name").asText()));
      case "bytes":
        return BinaryNode.valueOf(sparse ? new byte[0] : ("bytes" + counter).getBytes());
      case "records":
        return BinaryNode.valueOf(records());
      default:
        return struct(field.has("fields") ? field.get("fields") : commonStructs.get(type), version);
    }
  }

  /** Every ninth has more than 127 bytes: a compact length of two bytes. */
  private String text(String name) {
    return counter % 9 == 0 ? (name + "-ü-漢-𐍈-").repeat(12) : name + counter;
  }

  private byte[] records() {
    MemoryRecords records =
        MemoryRecords.withRecords(
            Compression.NONE,
            new SimpleRecord(1_700_000_000_000L + counter, "key".getBytes(), "value".getBytes()));
    ByteBuffer buffer = records.buffer();
    byte[] bytes = new byte[buffer.remaining()];
    buffer.get(bytes);
    return bytes;
  }

  /**
   * An int64 becomes text, because a JSON number can not hold it in JavaScript. Of records Kafka
   * writes only the size: they are taken from what the message was filled with.
   */
  private static JsonNode readable(JsonNode node, JsonNode filled) {
    if (node.isLong()) return new TextNode(node.longValue() + "n");
    if (node.isArray()) {
      ArrayNode array = NODES.arrayNode();
      for (int index = 0; index < node.size(); index++) {
        array.add(readable(node.get(index), filled.get(index)));
      }
      return array;
    }
    if (node.isObject()) {
      ObjectNode object = NODES.objectNode();
      node.properties()
          .forEach(
              each -> {
                String name = each.getKey().equals("recordsSizeInBytes") ? "records" : each.getKey();
                JsonNode source = filled.path(name);
                object.set(name, name.equals("records") ? source : readable(each.getValue(), source));
              });
      return object;
    }
    return node;
  }

  private static boolean contains(String range, short version) {
    short[] bounds = range(range);
    return version >= bounds[0] && version <= bounds[1];
  }

  private static short[] range(String text) {
    if (text.equals("none")) return new short[] {0, -1};
    String[] parts = text.replace("+", "-32767").split("-");
    return new short[] {Short.parseShort(parts[0]), Short.parseShort(parts[parts.length - 1])};
  }
}
