package com.firefly.flymq.internal;

import java.lang.ref.Cleaner;
import java.util.function.LongConsumer;

/** An object of the native side. One that is never closed is released once Java holds it no more. */
public abstract class NativeObject implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();

    private final long handle;
    private final Cleaner.Cleanable cleanable;

    /** {@code release} must not hold this object: it runs when nothing does. */
    protected NativeObject(long handle, LongConsumer release) {
        this.handle = handle;
        this.cleanable = CLEANER.register(this, () -> release.accept(handle));
    }

    protected final long handle() {
        return handle;
    }

    /** Forgets the native object, if it is not closed yet. */
    protected final void release() {
        cleanable.clean();
    }

    /** Closes it; later calls are refused. Closing twice is fine. */
    @Override
    public abstract void close();
}
