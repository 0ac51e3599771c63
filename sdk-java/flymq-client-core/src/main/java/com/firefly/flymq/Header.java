package com.firefly.flymq;

import java.nio.charset.StandardCharsets;

/**
 * A header of a message. Names may repeat.
 *
 * @param value bytes as they travel; not copied, so leave them as they are
 */
public record Header(String name, byte[] value) {
    /** A header whose value is text. */
    public static Header of(String name, String value) {
        return new Header(name, value.getBytes(StandardCharsets.UTF_8));
    }

    /** The value as UTF-8 text. */
    public String valueAsString() {
        return new String(value, StandardCharsets.UTF_8);
    }
}
