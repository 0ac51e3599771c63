package com.firefly.flymq.spring;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.TransactionalProducer;

import org.springframework.beans.factory.BeanFactory;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;

import java.util.Objects;

/** Makes a connected client from {@code flymq.*} unless the application defines one; it is closed with the context. */
@AutoConfiguration
@ConditionalOnClass(FlyMQClient.class)
@ConditionalOnProperty(prefix = "flymq", name = "enabled", matchIfMissing = true)
@EnableConfigurationProperties(FlyMQProperties.class)
public class FlyMQAutoConfiguration {
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    public FlyMQClient flyMQClient(FlyMQProperties properties) {
        return FlyMQClient.connect(properties.toClientConfig());
    }

    /** Static, as it looks at all other beans. */
    @Bean
    @ConditionalOnMissingBean
    public static FlyMQListeners flyMQListeners(BeanFactory beans) {
        return new FlyMQListeners(beans);
    }

    /** One process at a time has the id: it fences whoever had it before. */
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    @ConditionalOnProperty(prefix = "flymq", name = "transactional-id")
    public TransactionalProducer flyMQTransactionalProducer(FlyMQClient client, FlyMQProperties properties) {
        return client.transactionalProducer(Objects.requireNonNull(properties.transactionalId()));
    }
}
