package io.flymq.bench;

import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** What one run measured; {@code latenciesNanos} is empty where the work has no latency. */
record Result(int messages, long bytes, double seconds, long errors, long[] latenciesNanos, Map<String, Object> flags) {

    String toJson(Options options, String version) {
        long[] sorted = latenciesNanos.clone();
        Arrays.sort(sorted);
        return String.format(Locale.ROOT,
                "{\"peer\":\"kafka\",\"work\":\"%s\",\"messages\":%d,\"bytes\":%d,\"seconds\":%.6f,\"msgs_per_s\":%.1f,"
                        + "\"p50_us\":%s,\"p99_us\":%s,\"p999_us\":%s,\"errors\":%d,\"acks\":\"%s\",\"version\":\"%s\",\"flags\":{%s}}",
                options.work(), messages, bytes, seconds, messages / seconds, micros(sorted, 0.5), micros(sorted, 0.99),
                micros(sorted, 0.999), errors, options.acks(), version, flagsJson());
    }

    private static String micros(long[] sorted, double quantile) {
        if (sorted.length == 0) {
            return "null";
        }
        return String.format(Locale.ROOT, "%.3f", sorted[(int) (quantile * (sorted.length - 1))] / 1000.0);
    }

    private String flagsJson() {
        return flags.entrySet().stream()
                .map(e -> "\"" + e.getKey() + "\":" + (e.getValue() instanceof String s ? "\"" + s + "\"" : e.getValue()))
                .collect(Collectors.joining(","));
    }
}
