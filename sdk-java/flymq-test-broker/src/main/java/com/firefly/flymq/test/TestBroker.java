package com.firefly.flymq.test;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/** The real server, as a process of its own on free ports with a fresh data directory. */
public final class TestBroker implements AutoCloseable {
    private static final long DEADLINE_SECONDS = 60;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Process process;
    private final Path folder;
    private final String address;

    private TestBroker(Process process, Path folder, String address) {
        this.process = process;
        this.folder = folder;
        this.address = address;
    }

    /** Starts the program that the system property {@code flymq.test.broker} names and waits until it is ready. */
    public static TestBroker start() {
        Path program = Path.of(System.getProperty("flymq.test.broker", "target/debug/flymq"));
        if (!Files.isExecutable(program)) {
            throw new IllegalStateException("no broker at " + program.toAbsolutePath()
                    + ": build it with `cargo build --workspace`, or name it with -Dflymq.test.broker");
        }
        try {
            Path folder = Files.createTempDirectory("flymq-test-");
            ProcessBuilder builder = new ProcessBuilder(program.toString()).redirectErrorStream(true);
            builder.environment().put("FLYMQ_DATA_DIR", folder.resolve("data").toString());
            for (String door : List.of("BIND", "GRPC", "METRICS", "HEALTH", "ADMIN")) {
                builder.environment().put("FLYMQ_" + door + "_ADDR", "127.0.0.1:0");
            }
            Process process = builder.start();
            try {
                return new TestBroker(process, folder, ready(process));
            } catch (IllegalStateException e) {
                process.destroyForcibly();
                throw e;
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String ready(Process process) {
        CompletableFuture<String> address = new CompletableFuture<>();
        Thread reader = new Thread(() -> read(process, address), "flymq-test-broker-output");
        reader.setDaemon(true);
        reader.start();
        try {
            return address.get(DEADLINE_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new IllegalStateException("the broker did not become ready", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while the broker started", e);
        }
    }

    /** Reads to the end, so that the broker's pipe never fills. */
    private static void read(Process process, CompletableFuture<String> address) {
        List<String> lines = new ArrayList<>();
        try (BufferedReader output = process.inputReader()) {
            for (String line = output.readLine(); line != null; line = output.readLine()) {
                if (!address.isDone()) {
                    lines.add(line);
                    nativeAddress(line, address);
                }
            }
        } catch (IOException e) {
            lines.add(e.toString());
        }
        address.completeExceptionally(new IllegalStateException("the broker ended:\n" + String.join("\n", lines)));
    }

    private static void nativeAddress(String line, CompletableFuture<String> address) throws IOException {
        if (line.startsWith("{")) {
            JsonNode log = JSON.readTree(line);
            if (log.path("message").asText().equals("ready")) {
                address.complete(log.path("native").asText());
            }
        }
    }

    /** {@code host:port} for clients. */
    public String address() {
        return address;
    }

    public String host() {
        return address.substring(0, address.lastIndexOf(':'));
    }

    public int port() {
        return Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
    }

    /** Stops the process and removes its data. */
    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        try (Stream<Path> files = Files.walk(folder)) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
