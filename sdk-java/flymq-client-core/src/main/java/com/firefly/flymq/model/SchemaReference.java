package com.firefly.flymq.model;

/**
 * Another schema that a schema uses.
 *
 * @param name as its text calls it
 * @param subject the name that it is registered by
 */
public record SchemaReference(String name, String subject, int version) {}
