package com.firefly.flymq.spring.webflux;

import com.firefly.flymq.NewMessage;
import com.firefly.flymq.RecordMetadata;
import com.firefly.flymq.Transaction;

import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

/** Messages to several topics, all visible at once or not at all. */
public final class ReactiveTransaction {
    private final Transaction transaction;

    ReactiveTransaction(Transaction transaction) {
        this.transaction = transaction;
    }

    public String id() {
        return transaction.id();
    }

    /** Adds a message; its offset. A chain that is cancelled while this runs rolls the transaction back. */
    public Mono<Long> produce(String topic, byte[] value) {
        return produceRecord(topic, NewMessage.of(value)).map(RecordMetadata::offset);
    }

    /** Adds a message; where it is stored. */
    public Mono<RecordMetadata> produceRecord(String topic, NewMessage message) {
        return Mono.fromCallable(() -> transaction.produce(topic, message))
                .subscribeOn(Schedulers.boundedElastic())
                .doOnCancel(() -> rollback().subscribe());
    }

    /** Makes everything visible. */
    public Mono<Void> commit() {
        return Mono.<Void>fromRunnable(transaction::commit).subscribeOn(Schedulers.boundedElastic());
    }

    /** Takes everything back. */
    public Mono<Void> rollback() {
        return Mono.<Void>fromRunnable(transaction::rollback).subscribeOn(Schedulers.boundedElastic());
    }
}
