package com.firefly.flymq.model;

/**
 * A broker.
 *
 * @param clientAddr host and port for clients
 */
public record ClusterMember(String nodeId, String clientAddr, String role, String state, String version) {}
