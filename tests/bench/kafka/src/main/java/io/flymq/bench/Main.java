package io.flymq.bench;

import org.apache.kafka.common.utils.AppInfoParser;

/** The Kafka side of FlyMQ's benchmark: one run, one JSON line on stdout (the contract is in tests/bench/README.md). */
public final class Main {
    private Main() {}

    public static void main(String[] args) {
        try {
            Options options = Options.parse(args);
            Result result = switch (options.work()) {
                case "produce" -> Produce.run(options);
                case "consume" -> Consume.run(options);
                case "e2e" -> EndToEnd.run(options);
                default -> throw new IllegalArgumentException("unknown work " + options.work() + ": produce, consume or e2e");
            };
            // The broker and this driver run from the same jars, so the client's version is the server's.
            System.out.println(result.toJson(options, AppInfoParser.getVersion()));
            System.out.flush();
        } catch (Exception e) {
            System.err.println("kafka-bench: " + e);
            System.exit(1);
        }
        System.exit(0);
    }
}
