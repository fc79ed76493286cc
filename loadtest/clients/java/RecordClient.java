// A Java client for the checks: the verbs are in loadtest/src/clients/program-client.ts.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

public final class RecordClient {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "info" -> info();
            case "create" -> create(arguments[1], arguments[2], Integer.parseInt(arguments[3]));
            case "produce" -> produce(arguments[1], arguments[2]);
            case "consume" -> consume(
                arguments[1], arguments[2], List.of(arguments).subList(3, arguments.length));
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void info() throws Exception {
        ObjectNode line = JSON.createObjectNode().put("version", AppInfoParser.getVersion());
        ArrayNode codecs = line.putArray("codecs");
        List.of("none", "gzip", "snappy", "lz4", "zstd").forEach(codecs::add);
        say(line);
    }

    private static void create(String bootstrap, String topic, int partitions) throws Exception {
        try (Admin admin = Admin.create(properties(bootstrap))) {
            NewTopic newTopic = new NewTopic(topic, Optional.of(partitions), Optional.empty());
            admin.createTopics(List.of(newTopic)).all().get();
        }
    }

    private static void produce(String bootstrap, String codec) throws Exception {
        Properties properties = properties(bootstrap);
        properties.put("compression.type", codec);
        AtomicInteger produced = new AtomicInteger();
        ByteArraySerializer bytes = new ByteArraySerializer();
        BufferedReader input =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(properties, bytes, bytes)) {
            for (String line = input.readLine(); line != null; line = input.readLine()) {
                producer.send(toKafka(JSON.readTree(line)), (metadata, error) -> {
                    if (error != null) {
                        error.printStackTrace();
                        Runtime.getRuntime().halt(1);
                    }
                    produced.incrementAndGet();
                });
            }
        }
        say(JSON.createObjectNode().put("produced", produced.get()));
    }

    private static ProducerRecord<byte[], byte[]> toKafka(JsonNode line) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
            line.get("topic").asText(),
            line.get("partition").asInt(),
            toBytes(line.get("key")),
            toBytes(line.get("value")));
        for (JsonNode header : line.get("headers")) {
            record.headers().add(header.get(0).asText(), toBytes(header.get(1)));
        }
        return record;
    }

    private static void consume(String bootstrap, String group, List<String> topics)
            throws Exception {
        Properties properties = properties(bootstrap);
        properties.put("group.id", group);
        properties.put("auto.offset.reset", "earliest");
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes);
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                closed.await();
            } catch (InterruptedException error) {
                Thread.currentThread().interrupt();
            }
            // Without this a JVM that ends by SIGTERM says 143 even when all went well.
            if (closed.getCount() == 0) Runtime.getRuntime().halt(0);
        }));
        try (consumer) {
            consumer.subscribe(topics, new SayAssignment(consumer));
            while (true) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    say(toLine(record));
                }
            }
        } catch (WakeupException stopped) {
            // Leaves the group.
        }
        closed.countDown();
    }

    private record SayAssignment(KafkaConsumer<?, ?> consumer)
            implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> added) {
            say(consumer.assignment());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {
            say(consumer.assignment().stream().filter(held -> !revoked.contains(held)).toList());
        }

        private void say(Collection<TopicPartition> held) {
            ObjectNode line = JSON.createObjectNode();
            ArrayNode assigned = line.putArray("assigned");
            for (TopicPartition partition : held) {
                assigned.addArray().add(partition.topic()).add(partition.partition());
            }
            RecordClient.say(line);
        }
    }

    private static ObjectNode toLine(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode line = JSON.createObjectNode()
            .put("topic", record.topic())
            .put("partition", record.partition())
            .put("offset", record.offset())
            .put("key", toText(record.key()))
            .put("value", toText(record.value()));
        ArrayNode headers = line.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(toText(header.value()));
        }
        return line;
    }

    private static Properties properties(String bootstrap) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    private static byte[] toBytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static String toText(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    private static synchronized void say(ObjectNode line) {
        System.out.println(line);
        System.out.flush();
    }
}
