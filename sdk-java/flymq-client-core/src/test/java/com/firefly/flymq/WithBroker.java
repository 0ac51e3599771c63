package com.firefly.flymq;

import com.firefly.flymq.test.TestBroker;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

import java.util.UUID;

/** Tests against the real server: one for each class, topics of their own for each test. */
abstract class WithBroker {
    static TestBroker broker;
    static FlyMQClient client;

    @BeforeAll
    static void start() {
        broker = TestBroker.start();
        client = FlyMQClient.connect(broker.address());
    }

    @AfterAll
    static void stop() {
        client.close();
        broker.close();
    }

    static String name(String what) {
        return what + "-" + UUID.randomUUID();
    }

    /** Reads from the first message on. */
    static ConsumerConfig fromTheStart() {
        return new ConsumerConfig().autoOffsetReset(OffsetReset.EARLIEST);
    }
}
