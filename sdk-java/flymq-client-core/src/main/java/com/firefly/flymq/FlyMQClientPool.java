package com.firefly.flymq;

import com.firefly.flymq.exception.ClosedException;
import com.firefly.flymq.exception.ErrorInfo;

import org.jspecify.annotations.Nullable;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Several clients, each with connections of its own, handed out in turn: for programs whose load is more than one connection
 * carries. The clients belong to the pool: do not close them.
 */
public final class FlyMQClientPool implements AutoCloseable {
    /** Clients of a pool that says nothing else. */
    public static final int DEFAULT_SIZE = 10;

    private final ClientConfig config;
    private final @Nullable FlyMQClient[] clients;
    private final AtomicInteger turn = new AtomicInteger();
    private boolean closed;

    public FlyMQClientPool(ClientConfig config) {
        this(config, DEFAULT_SIZE);
    }

    /** Connects none yet: each client is made when its turn comes first. */
    public FlyMQClientPool(ClientConfig config, int size) {
        if (size < 1) {
            throw new IllegalArgumentException("a pool has at least one client, not " + size);
        }
        this.config = config;
        this.clients = new FlyMQClient[size];
    }

    /** The next client. */
    public FlyMQClient getClient() {
        int place = Math.floorMod(turn.getAndIncrement(), clients.length);
        synchronized (clients) {
            if (closed) {
                throw new ClosedException(ErrorInfo.local("CANCELLED", "the pool is closed", "Make a new one."));
            }
            FlyMQClient client = clients[place];
            if (client == null) {
                client = FlyMQClient.connect(config);
                clients[place] = client;
            }
            return client;
        }
    }

    @Override
    public void close() {
        synchronized (clients) {
            closed = true;
            for (FlyMQClient client : clients) {
                if (client != null) {
                    client.close();
                }
            }
        }
    }
}
