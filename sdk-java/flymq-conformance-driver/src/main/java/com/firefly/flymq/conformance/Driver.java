package com.firefly.flymq.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.exception.FlyMQException;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * The conformance suite's driver for Java: a JSON line in, a JSON line out (tests/conformance/README.md), with
 * {@code FLYMQ_ADDR} in the environment. Ends when its input ends.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Driver() {}

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (FlyMQClient client = FlyMQClient.connect(System.getenv("FLYMQ_ADDR"))) {
            Operations operations = new Operations(client);
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                out.println(JSON.writeValueAsString(answer(operations, JSON.readTree(line))));
                out.flush();
            }
        }
    }

    private static ObjectNode answer(Operations operations, JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.path("id"));
        String op = request.path("op").asText();
        try {
            JsonNode reply = operations.run(op, request.path("args"));
            if (reply == null) {
                answer.put("unsupported", "the Java driver has no operation " + op);
            } else {
                answer.set("ok", reply);
            }
        } catch (FlyMQException e) {
            answer.putObject("error").put("code", e.code()).put("message", e.info().message()).put("hint", e.hint());
        }
        return answer;
    }
}
