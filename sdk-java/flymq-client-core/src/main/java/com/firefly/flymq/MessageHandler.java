package com.firefly.flymq;

/** Processes one message. What it throws says that it could not. */
@FunctionalInterface
public interface MessageHandler {
    void handle(Message message) throws Exception;
}
