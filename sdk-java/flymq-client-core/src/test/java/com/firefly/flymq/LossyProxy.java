package com.firefly.flymq;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.atomic.AtomicInteger;

/** A way to a broker on which every so many-th answer to a produce is lost, with its connection: the broker has appended by then. */
final class LossyProxy implements AutoCloseable {
    /** Frames of version 2 begin with so many bytes: magic, version, op, flags, length. */
    private static final int FRAME_HEAD = 8;

    private static final int PRODUCE = 1;

    private final ServerSocket listener;
    private final String host;
    private final int port;
    private final int every;
    private final AtomicInteger answers = new AtomicInteger();
    final AtomicInteger lost = new AtomicInteger();

    private interface Way {
        void run(InputStream in, OutputStream out) throws IOException;
    }

    LossyProxy(String broker, int every) throws IOException {
        int colon = broker.lastIndexOf(':');
        this.host = broker.substring(0, colon);
        this.port = Integer.parseInt(broker.substring(colon + 1));
        this.every = every;
        this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        daemon(this::accept);
    }

    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work, "lossy-proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                Socket broker = new Socket(host, port);
                daemon(() -> run(client, broker, InputStream::transferTo));
                daemon(() -> run(broker, client, this::answers));
            }
        } catch (IOException closed) {
            // By close.
        }
    }

    private static void run(Socket from, Socket to, Way way) {
        // When one way ends, both do.
        try (from;
                to;
                InputStream in = from.getInputStream();
                OutputStream out = to.getOutputStream()) {
            way.run(in, out);
        } catch (IOException broken) {
            // The other way has ended.
        }
    }

    private void answers(InputStream source, OutputStream client) throws IOException {
        DataInputStream in = new DataInputStream(source);
        while (true) {
            byte[] head = in.readNBytes(FRAME_HEAD);
            if (head.length < FRAME_HEAD) {
                return;
            }
            int length = java.nio.ByteBuffer.wrap(head, 4, 4).getInt();
            byte[] body = in.readNBytes(length);
            if (head[2] == PRODUCE && answers.incrementAndGet() % every == 0) {
                lost.incrementAndGet();
                return;
            }
            client.write(head);
            client.write(body);
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }
}
