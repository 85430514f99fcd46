import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints each transition once: its id, a space, and the record.
 *
 * <pre>java -cp 'kafka/libs/*' TransitionConsumer.java localhost:9092 lifecycle.transitions my-group [--exit-at-end]</pre>
 *
 * The id is in the header ce_id, so nothing has to be parsed to recognise a transition that was seen before. This example
 * keeps the latest ids in memory; use a unique index of your database instead if a restart must not repeat a transition.
 */
public class TransitionConsumer {
    private static final int IDS_MAX = 100_000;

    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", arguments[2]);
        // The default, read_uncommitted, also returns the records of aborted transactions.
        properties.put("isolation.level", "read_committed");
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        boolean exitAtEnd = arguments.length > 3 && arguments[3].equals("--exit-at-end");
        Map<String, Boolean> seen = new LinkedHashMap<>() {
            @Override
            protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
                return size() > IDS_MAX;
            }
        };
        StringDeserializer text = new StringDeserializer();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(properties, text, text)) {
            consumer.subscribe(List.of(arguments[1]));
            boolean ended = false;
            while (!ended) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    Header id = record.headers().lastHeader("ce_id");
                    if (id == null || record.value() == null) {
                        continue;
                    }
                    String transitionId = new String(id.value(), StandardCharsets.UTF_8);
                    if (seen.put(transitionId, true) == null) {
                        System.out.println(transitionId + " " + record.value());
                    }
                }
                System.out.flush();
                consumer.commitSync();
                ended = exitAtEnd && isAtEnd(consumer);
            }
        }
    }

    private static boolean isAtEnd(KafkaConsumer<?, ?> consumer) {
        HashSet<TopicPartition> partitions = new HashSet<>(consumer.assignment());
        return !partitions.isEmpty()
            && consumer.endOffsets(partitions).entrySet().stream()
                .allMatch(end -> consumer.position(end.getKey()) >= end.getValue());
    }
}
