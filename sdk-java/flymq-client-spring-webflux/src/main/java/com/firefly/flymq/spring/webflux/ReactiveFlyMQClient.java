package com.firefly.flymq.spring.webflux;

import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.HighLevelProducer;
import com.firefly.flymq.Message;
import com.firefly.flymq.NewMessage;
import com.firefly.flymq.RecordMetadata;

import reactor.core.publisher.Flux;
import reactor.core.publisher.FluxSink.OverflowStrategy;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

import java.util.List;
import java.util.function.Function;

/** FlyMQ with Reactor types. Nothing happens before a subscription; no call blocks the caller's thread. */
public final class ReactiveFlyMQClient implements AutoCloseable {
    private final FlyMQClient client;
    private final HighLevelProducer producer;

    /** On a client that stays the caller's: closing this one does not close it. */
    public ReactiveFlyMQClient(FlyMQClient client) {
        this.client = client;
        this.producer = client.producer();
    }

    /** Stores a message; its offset. */
    public Mono<Long> produce(String topic, byte[] value) {
        return produceRecord(topic, value).map(RecordMetadata::offset);
    }

    /** Stores a message; where. */
    public Mono<RecordMetadata> produceRecord(String topic, byte[] value) {
        return produceRecord(topic, NewMessage.of(value));
    }

    /** Stores a message, with all that may be said about it. */
    public Mono<RecordMetadata> produceRecord(String topic, NewMessage message) {
        // A send may wait for room in the buffer, so not on the subscriber's thread, which may be an event loop.
        return Mono.fromFuture(() -> producer.send(topic, message), true).subscribeOn(Schedulers.boundedElastic());
    }

    /** Messages of a topic as a member of a consumer group, from the moment of the subscription on or where the group was. */
    public Flux<Message> subscribe(String topic, String group) {
        return subscribe(List.of(topic), group, new ConsumerConfig());
    }

    /**
     * Messages of topics as a member of a consumer group. No more are taken from the broker's stream than were requested; with
     * auto-commit a message is committed after it was handed down and another poll followed, or the flux was cancelled.
     */
    public Flux<Message> subscribe(List<String> topics, String group, ConsumerConfig config) {
        return Flux.create(
                sink -> PollLoop.start(sink, () -> client.consumer(topics, group, config)), OverflowStrategy.ERROR);
    }

    /** Begins a transaction. */
    public Mono<ReactiveTransaction> beginTransaction() {
        return Mono.fromCallable(client::beginTransaction)
                .map(ReactiveTransaction::new)
                .subscribeOn(Schedulers.boundedElastic());
    }

    /** Runs {@code work} in a transaction: committed when it completes, rolled back when it fails or is cancelled. */
    public <T> Mono<T> inTransaction(Function<ReactiveTransaction, Mono<T>> work) {
        return Mono.usingWhen(
                beginTransaction(),
                work,
                ReactiveTransaction::commit,
                (transaction, failure) -> transaction.rollback(),
                ReactiveTransaction::rollback);
    }

    /** Sends what waits; the client underneath stays open. */
    @Override
    public void close() {
        producer.close();
    }
}
