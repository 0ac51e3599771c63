package com.firefly.flymq;

import java.util.concurrent.atomic.AtomicBoolean;

/** Messages to several topics, all visible at once or not at all. Closing it without a commit rolls it back. */
public final class Transaction implements AutoCloseable {
    private final FlyMQClient client;
    private final String id;
    private final AtomicBoolean over = new AtomicBoolean();

    Transaction(FlyMQClient client, String id) {
        this.client = client;
        this.id = id;
    }

    public String id() {
        return id;
    }

    public RecordMetadata produce(String topic, byte[] value) {
        return produce(topic, NewMessage.of(value));
    }

    public RecordMetadata produce(String topic, NewMessage message) {
        return client.produceInTransaction(id, topic, message);
    }

    /** Makes everything visible. */
    public void commit() {
        client.endTransaction("CommitTransaction", id);
        over.set(true);
    }

    /** Takes everything back. */
    public void rollback() {
        if (over.compareAndSet(false, true)) {
            client.endTransaction("AbortTransaction", id);
        }
    }

    @Override
    public void close() {
        rollback();
    }
}
