package com.firefly.flymq;

import com.firefly.flymq.crypto.Encryptor;
import com.firefly.flymq.internal.Json;

import org.jspecify.annotations.Nullable;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/** Settings of a client: {@code new ClientConfig().bootstrapServers("a:9092,b:9092").username("u")}. */
public final class ClientConfig {
    private String bootstrapServers = "localhost:9092";
    private String clientId = "flymq-java";
    private Duration connectTimeout = Duration.ofSeconds(10);
    private Duration requestTimeout = Duration.ofSeconds(30);
    private int maxRetries = 3;
    private Duration retryDelay = Duration.ofMillis(100);
    private @Nullable String username;
    private @Nullable String password;
    private @Nullable String encryptionKey;

    /** {@code host:port} of one or more brokers, with commas; {@code grpc://host:port} speaks gRPC. */
    public ClientConfig bootstrapServers(String bootstrapServers) {
        this.bootstrapServers = bootstrapServers;
        return this;
    }

    /** Name in the server's logs. */
    public ClientConfig clientId(String clientId) {
        this.clientId = clientId;
        return this;
    }

    /** For one attempt at one address. */
    public ClientConfig connectTimeout(Duration connectTimeout) {
        this.connectTimeout = connectTimeout;
        return this;
    }

    /** For one request with all its repeats. */
    public ClientConfig requestTimeout(Duration requestTimeout) {
        this.requestTimeout = requestTimeout;
        return this;
    }

    /** Repeats after the first attempt. */
    public ClientConfig maxRetries(int maxRetries) {
        this.maxRetries = maxRetries;
        return this;
    }

    /** Wait before the first repeat; it doubles each time. */
    public ClientConfig retryDelay(Duration retryDelay) {
        this.retryDelay = retryDelay;
        return this;
    }

    /** User name, where the server wants one. */
    public ClientConfig username(String username) {
        this.username = username;
        return this;
    }

    /** The user's password. */
    public ClientConfig password(String password) {
        this.password = password;
        return this;
    }

    /** 64 hexadecimal characters ({@code Encryptor.generateKey()}): values are encrypted before they leave and decrypted when read. */
    public ClientConfig encryptionKey(String encryptionKey) {
        this.encryptionKey = encryptionKey;
        return this;
    }

    /** The encryptor of {@link #encryptionKey}, if one is set. */
    @Nullable Encryptor encryptor() {
        return encryptionKey == null ? null : Encryptor.fromHexKey(encryptionKey);
    }

    /** Without the secrets. */
    @Override
    public String toString() {
        return "ClientConfig[" + bootstrapServers + ", client id " + clientId + "]";
    }

    /** As the native side reads it. */
    byte[] json() {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("servers", bootstrapServers);
        settings.put("client_id", clientId);
        settings.put("connect_timeout_ms", connectTimeout.toMillis());
        settings.put("request_timeout_ms", requestTimeout.toMillis());
        settings.put("max_retries", maxRetries);
        settings.put("retry_delay_ms", retryDelay.toMillis());
        settings.put("username", username);
        settings.put("password", password);
        settings.put("encryption_key", encryptionKey);
        return Json.write(settings);
    }
}
