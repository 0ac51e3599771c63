package com.firefly.flymq.serde;

import com.firefly.flymq.exception.ErrorInfo;
import com.firefly.flymq.exception.SerializationException;
import com.firefly.flymq.internal.Codec;
import com.firefly.flymq.internal.Native;
import com.firefly.flymq.internal.NativeObject;

import org.jspecify.annotations.Nullable;

/**
 * Documents as Avro or Protobuf by schemas of the client's registry, in the frame of Confluent's serializers. It writes by the latest
 * version of the subject, {@code <topic>-value} unless one is named, and reads by whatever schema a value names; what it has learned of
 * the registry it keeps. Objects become JSON documents by Jackson first.
 *
 * <p>A document that does not fit, or a schema that is not there, is a {@link com.firefly.flymq.exception.SchemaException}; a value that
 * is none of its kind a {@link SerializationException}. {@link com.firefly.flymq.FlyMQClient#serde(String)} makes one.
 */
public final class SchemaSerde extends NativeObject implements Serde {
    private final String name;
    private final @Nullable String subject;
    private final Serde json;

    /** For the SDK itself; {@link com.firefly.flymq.FlyMQClient#serde(String, String)} makes them. */
    public SchemaSerde(long client, String name, @Nullable String subject, Serde json) {
        super(Native.newSerde(client, Codec.utf8(name), Codec.utf8(subject == null ? "" : subject)), Native::releaseSerde);
        this.name = name;
        this.subject = subject;
        this.json = json;
    }

    /** {@code avro} or {@code protobuf}. */
    public String name() {
        return name;
    }

    /** By the subject that was named: without one a serde has to know the topic. */
    @Override
    public byte[] serialize(Object value) {
        if (subject == null) {
            String what = "the serde " + name + " goes by the subject <topic>-value, and no topic is given";
            String hint = "Call serialize(topic, value), or name a subject: client.serde(\"" + name + "\", subject).";
            throw new SerializationException(ErrorInfo.local("INVALID_ARGUMENT", what, hint));
        }
        return serialize("", value);
    }

    @Override
    public byte[] serialize(String topic, Object value) {
        return Native.encode(handle(), Codec.utf8(topic), json.serialize(value));
    }

    @Override
    public <T> T deserialize(byte[] value, Class<T> type) {
        return json.deserialize(Native.decode(handle(), value), type);
    }

    /** Not needed: what nobody holds is released. */
    @Override
    public void close() {
        release();
    }
}
