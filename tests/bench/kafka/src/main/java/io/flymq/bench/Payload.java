package io.flymq.bench;

import java.nio.ByteBuffer;
import java.util.Random;

/** Values cut out of a pool of random bytes at moving positions: no two neighbours are alike, nothing to compress. */
final class Payload {
    private static final int POOL = 1 << 20;
    private final byte[] pool;
    private final int size;

    Payload(int size) {
        this.size = size;
        pool = new byte[POOL + size];
        new Random(1).nextBytes(pool);
    }

    byte[] value(int i) {
        byte[] value = new byte[size];
        System.arraycopy(pool, (int) ((i * 8191L) % POOL), value, 0, size);
        return value;
    }

    /** A value that begins with its message number, 8 bytes, big-endian. */
    byte[] numbered(int i) {
        byte[] value = value(i);
        ByteBuffer.wrap(value).putLong(0, i);
        return value;
    }
}
