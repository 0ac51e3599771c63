package com.firefly.flymq.examples.airports;

import com.firefly.flymq.Consumer;
import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.Message;
import com.firefly.flymq.OffsetReset;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.ApplicationArguments;
import org.springframework.boot.ApplicationRunner;
import org.springframework.stereotype.Component;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Reads the airports as a consumer group and writes how many each state has. */
@Component
class StateCounter implements ApplicationRunner {
    private static final String GROUP = "airports-spring";
    /** As many as run.sh creates the topic with. */
    private static final int PARTITIONS = 3;

    /** The bean that flymq-client-spring makes from the flymq.* properties. */
    private final FlyMQClient client;
    private final String topic;
    private final Path result;

    StateCounter(
            FlyMQClient client, @Value("${airports.topic}") String topic, @Value("${airports.result}") Path result) {
        this.client = client;
        this.topic = topic;
        this.result = result;
    }

    @Override
    public void run(ApplicationArguments arguments) throws IOException {
        Map<String, Integer> states = count();
        StringBuilder lines = new StringBuilder();
        states.forEach((state, n) -> lines.append(state).append(' ').append(n).append('\n'));
        Files.writeString(result, lines);
        int all = states.values().stream().mapToInt(Integer::intValue).sum();
        System.out.printf("group %s counted %d airports in %d states%n", GROUP, all, states.size());
    }

    /** Until each partition has said, by a message without value, that this was all. */
    private Map<String, Integer> count() {
        Map<String, Integer> states = new TreeMap<>();
        Set<Integer> ended = new HashSet<>();
        ConsumerConfig fromTheStart = new ConsumerConfig().autoOffsetReset(OffsetReset.EARLIEST);
        try (Consumer consumer = client.consumer(topic, GROUP, fromTheStart)) {
            while (ended.size() < PARTITIONS) {
                for (Message message : consumer.poll(Duration.ofSeconds(1))) {
                    if (message.isTombstone()) {
                        ended.add(message.partition());
                    } else {
                        states.merge(String.valueOf(message.keyAsString()), 1, Integer::sum);
                    }
                }
            }
            consumer.commit();
        }
        return states;
    }
}
