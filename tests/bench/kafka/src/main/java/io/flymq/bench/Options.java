package io.flymq.bench;

import java.util.HashMap;
import java.util.Map;

/**
 * The driver's arguments. {@code acks} is {@code all}, or {@code fsync} for a topic with {@code flush.messages=1}.
 * {@code inFlight} counts only as 1 (wait for each ack) or more (Kafka's own {@code buffer.memory} bounds it).
 */
record Options(String servers, String work, String topic, String acks, int messages, int size, int connections,
               int producers, int inFlight, int warmup, int rate, int seconds, int replicas,
               boolean batch) {

    static Options parse(String[] args) {
        if (args.length < 3 || !args[0].equals("--servers")) {
            throw new IllegalArgumentException("usage: --servers HOST:PORT produce|consume|e2e --topic T [options]");
        }
        Map<String, String> given = new HashMap<>();
        boolean batch = true;
        for (int i = 3; i < args.length; i++) {
            if (args[i].equals("--no-batch")) {
                batch = false;
            } else if (args[i].startsWith("--") && i + 1 < args.length) {
                given.put(args[i].substring(2), args[++i]);
            } else {
                throw new IllegalArgumentException("unexpected argument " + args[i]);
            }
        }
        return new Options(args[1], args[2], given.getOrDefault("topic", "bench"), given.getOrDefault("acks", "all"),
                number(given, "messages", 100_000), number(given, "size", 1024), number(given, "connections", 1),
                number(given, "producers", 1), number(given, "in-flight", 4000), number(given, "warmup", 0),
                number(given, "rate", 5000), number(given, "seconds", 10),
                number(given, "replicas", 1), batch);
    }

    private static int number(Map<String, String> given, String name, int otherwise) {
        return given.containsKey(name) ? Integer.parseInt(given.get(name)) : otherwise;
    }
}
