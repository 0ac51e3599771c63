package com.firefly.flymq;

/** A message to send, and the topic it goes to. */
public record ProducerRecord(String topic, NewMessage message) {
    public static ProducerRecord of(String topic, byte[] value) {
        return new ProducerRecord(topic, NewMessage.of(value));
    }

    public static ProducerRecord of(String topic, String value) {
        return new ProducerRecord(topic, NewMessage.of(value));
    }
}
