package com.firefly.flymq.spring;

import com.firefly.flymq.ClientConfig;

import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

import java.time.Duration;
import java.util.List;

/**
 * The properties {@code flymq.*}.
 *
 * @param enabled whether a client bean is made
 * @param host host of the broker; not looked at when bootstrap servers are given
 * @param port port of the broker; not looked at when bootstrap servers are given
 * @param bootstrapServers host:port of several brokers; the next is tried when one does not answer
 * @param clientId name in the server's logs
 * @param username user name, where the server wants one
 * @param password the user's password
 * @param encryptionKey 64 hexadecimal characters; message values are encrypted before they leave
 * @param connectTimeoutMs milliseconds for one attempt at one address
 * @param requestTimeoutMs milliseconds for one request with all its repeats
 * @param maxRetries repeats after the first attempt
 * @param transactionalId name of the transactional producer over its restarts; without it there is no such bean
 * @param retryDelayMs milliseconds before the first repeat; doubles each time
 */
@ConfigurationProperties("flymq")
public record FlyMQProperties(
        @DefaultValue("true") boolean enabled,
        @DefaultValue("localhost") String host,
        @DefaultValue("9092") int port,
        @DefaultValue List<String> bootstrapServers,
        @DefaultValue("flymq-java") String clientId,
        @Nullable String username,
        @Nullable String password,
        @Nullable String encryptionKey,
        @Nullable String transactionalId,
        @DefaultValue("10000") long connectTimeoutMs,
        @DefaultValue("30000") long requestTimeoutMs,
        @DefaultValue("3") int maxRetries,
        @DefaultValue("100") long retryDelayMs) {

    /** The client's settings. */
    public ClientConfig toClientConfig() {
        String servers = bootstrapServers.isEmpty() ? host + ":" + port : String.join(",", bootstrapServers);
        return new ClientConfig()
                .bootstrapServers(servers)
                .clientId(clientId)
                .username(username)
                .password(password)
                .encryptionKey(encryptionKey)
                .connectTimeout(Duration.ofMillis(connectTimeoutMs))
                .requestTimeout(Duration.ofMillis(requestTimeoutMs))
                .maxRetries(maxRetries)
                .retryDelay(Duration.ofMillis(retryDelayMs));
    }

    /** Without the secrets. */
    @Override
    public String toString() {
        return "FlyMQProperties[" + toClientConfig() + "]";
    }
}
