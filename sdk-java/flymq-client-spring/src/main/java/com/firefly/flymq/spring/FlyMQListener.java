package com.firefly.flymq.spring;

import com.firefly.flymq.OffsetReset;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * A method of a bean that is called with each message of some topics, as a member of a group, from the start of the application until
 * it ends. It takes a {@link com.firefly.flymq.Message}, the value as {@code byte[]} or {@code String}, or an object that the client's
 * serde makes of the value. A message at which it throws comes again later, and goes to the dead letters in the end.
 *
 * <pre>{@code
 * @FlyMQListener(topics = "orders", group = "billing")
 * void bill(Message order) { ... }
 * }</pre>
 */
@Documented
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
public @interface FlyMQListener {
    /** Topics, by name or pattern; {@code ${placeholders}} are resolved. */
    String[] topics();

    /** The group; {@code ${placeholders}} are resolved. */
    String group();

    /** Where the group begins that has committed nothing. */
    OffsetReset autoOffsetReset() default OffsetReset.LATEST;

    /** So many threads, each a member of the group. */
    int concurrency() default 1;

    /** Redeliveries before a message goes to the dead letters; below zero: the broker's setting. */
    int maxRetries() default -1;

    /** Milliseconds before the first redelivery, doubled each time; below zero: the broker's setting. */
    long retryDelayMs() default -1;
}
