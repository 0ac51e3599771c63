package com.firefly.flymq;

import com.fasterxml.jackson.databind.JsonNode;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Json;
import com.firefly.flymq.model.Schema;
import com.firefly.flymq.model.SchemaReference;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The registry of schemas: one control call each. Types are {@code json}, {@code avro} and {@code protobuf}; rules of compatibility
 * {@code none}, {@code backward}, {@code forward}, {@code full}, and the last three with {@code _transitive}.
 */
public interface SchemaCalls {
    /** As {@link ControlCalls#call}. */
    JsonNode call(String rpc, Object request);

    /**
     * Registers a version of a schema; the one that has the text already, if there is one.
     *
     * @throws com.firefly.flymq.exception.SchemaException for a text that is no schema, or does not fit the versions before
     */
    default Schema registerSchema(String name, String type, String definition) {
        return registerSchema(name, type, definition, List.of());
    }

    /** As {@link #registerSchema(String, String, String)}; the text refers to others. */
    default Schema registerSchema(String name, String type, String definition, List<SchemaReference> references) {
        Map<String, Object> request = registration(name, type, definition);
        request.put("references", references);
        return Json.read(call("RegisterSchema", request).path("schema"), Schema.class);
    }

    /**
     * Whether a version could be registered; nothing is.
     *
     * @throws com.firefly.flymq.exception.SchemaException says why it could not
     */
    default void checkSchema(String name, String type, String definition) {
        Map<String, Object> request = registration(name, type, definition);
        request.put("dry_run", true);
        call("RegisterSchema", request);
    }

    private static Map<String, Object> registration(String name, String type, String definition) {
        Map<String, Object> request = new HashMap<>();
        request.put("name", name);
        request.put("type", constant("SCHEMA_TYPE", type));
        request.put("definition", definition);
        return request;
    }

    /** The newest version of a schema. */
    default Schema getSchema(String name) {
        return getSchema(name, 0);
    }

    /** A version of a schema; 0: the newest. */
    default Schema getSchema(String name, int version) {
        JsonNode reply = call("GetSchema", Map.of("name", name, "version", version));
        return Json.read(reply.path("schema"), Schema.class);
    }

    /** All versions of all schemas, by name and version. */
    default List<Schema> listSchemas() {
        return listSchemas("");
    }

    /** All versions of a schema. */
    default List<Schema> listSchemas(String name) {
        return Json.readList(call("ListSchemas", Map.of("name", name)).path("schemas"), Schema.class);
    }

    /** What is wrong with a value by the newest version of a schema, each with its path; empty: it matches. */
    default List<String> validateSchema(String name, byte[] value) {
        List<String> errors = new ArrayList<>();
        JsonNode reply = call("ValidateSchema", Map.of("name", name, "value", value));
        reply.path("errors").forEach(error -> errors.add(error.asText()));
        return errors;
    }

    /** As {@link #validateSchema(String, byte[])}, of a text. */
    default List<String> validateSchema(String name, String value) {
        return validateSchema(name, Codec.utf8(value));
    }

    /** Deletes all versions of a schema; which there were. Their ids are still found. */
    default List<Integer> deleteSchema(String name) {
        return deleteSchema(name, 0);
    }

    /** Deletes a version of a schema; 0: all. */
    default List<Integer> deleteSchema(String name, int version) {
        List<Integer> versions = new ArrayList<>();
        JsonNode reply = call("DeleteSchema", Map.of("name", name, "version", version));
        reply.path("versions").forEach(one -> versions.add(one.asInt()));
        return versions;
    }

    /** Says which further versions of a schema are taken; with an empty name that of all schemas that have no rule of their own. */
    default void setCompatibility(String name, String compatibility) {
        call("SetCompatibility", Map.of("name", name, "compatibility", constant("COMPATIBILITY", compatibility)));
    }

    /** Has every value that comes into a topic match the newest version of a schema, as strictly as the server says. */
    default void bindSchema(String topic, String name) {
        call("BindSchema", Map.of("topic", topic, "name", name));
    }

    /**
     * As {@link #bindSchema(String, String)}.
     *
     * @param mode {@code strict} (refused), {@code warn} (taken, and counted) or {@code off}
     */
    default void bindSchema(String topic, String name, String mode) {
        call("BindSchema", Map.of("topic", topic, "name", name, "mode", constant("VALIDATION_MODE", mode)));
    }

    /** Lets a topic take any value again. */
    default void unbindSchema(String topic) {
        call("BindSchema", Map.of("topic", topic));
    }

    private static String constant(String prefix, String name) {
        return prefix + "_" + name.toUpperCase(Locale.ROOT);
    }
}
