package com.firefly.flymq.model;

/** A version of a schema. */
public record Schema(String id, String name, int version, String type, String definition, String compatibility) {}
