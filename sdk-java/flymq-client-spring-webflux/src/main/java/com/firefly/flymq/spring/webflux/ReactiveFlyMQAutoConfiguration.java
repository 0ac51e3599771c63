package com.firefly.flymq.spring.webflux;

import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.spring.FlyMQAutoConfiguration;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/** Makes a reactive client on the {@link FlyMQClient} bean unless the application defines one. */
@AutoConfiguration(after = FlyMQAutoConfiguration.class)
@ConditionalOnBean(FlyMQClient.class)
public class ReactiveFlyMQAutoConfiguration {
    @Bean(destroyMethod = "close")
    @ConditionalOnMissingBean
    public ReactiveFlyMQClient reactiveFlyMQClient(FlyMQClient client) {
        return new ReactiveFlyMQClient(client);
    }
}
