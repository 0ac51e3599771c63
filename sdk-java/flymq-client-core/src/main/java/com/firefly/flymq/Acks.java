package com.firefly.flymq;

/** What a producer waits for. */
public enum Acks {
    /** Nothing: the broker took the message in. */
    NONE(1),
    /** In the leader's log file: survives the death of the process, on disk a few milliseconds later. */
    LEADER(2),
    /** On the disk of every in-sync replica. */
    ALL(3);

    private final int number;

    Acks(int number) {
        this.number = number;
    }

    /** The proto's number. */
    int number() {
        return number;
    }
}
