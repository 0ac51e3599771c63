package com.firefly.flymq.model;

import java.util.List;

/**
 * A version of a schema.
 *
 * @param type {@code json}, {@code avro} or {@code protobuf}
 * @param compatibility which versions may follow: {@code backward} and so on; {@code unspecified}: as for all schemas
 * @param globalId the same for the same text in all schemas; values of Avro and Protobuf begin with it
 * @param references other schemas that it uses
 */
public record Schema(
        String id,
        String name,
        int version,
        String type,
        String definition,
        String compatibility,
        int globalId,
        List<SchemaReference> references) {
    public Schema {
        type = Constants.plain("SCHEMA_TYPE_", type);
        compatibility = Constants.plain("COMPATIBILITY_", compatibility);
    }
}
