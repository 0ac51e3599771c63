package com.firefly.flymq.spring;

import com.firefly.flymq.TransactionalProducer;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;
import org.springframework.transaction.PlatformTransactionManager;
import org.springframework.transaction.TransactionManager;
import org.springframework.transaction.annotation.EnableTransactionManagement;

/**
 * {@code @Transactional} over the transactional producer ({@code flymq.transactional-id}), where spring-tx is there. An application that has
 * another transaction manager keeps that one; it may make a {@link FlyMQTransactionManager} beside it and name it in {@code @Transactional}.
 */
@AutoConfiguration(
        after = FlyMQAutoConfiguration.class,
        afterName = {
            "org.springframework.boot.autoconfigure.jdbc.DataSourceTransactionManagerAutoConfiguration",
            "org.springframework.boot.autoconfigure.orm.jpa.HibernateJpaAutoConfiguration",
            "org.springframework.boot.autoconfigure.transaction.jta.JtaAutoConfiguration"
        })
@ConditionalOnClass(PlatformTransactionManager.class)
@ConditionalOnBean(TransactionalProducer.class)
@ConditionalOnMissingBean(TransactionManager.class)
@EnableTransactionManagement
public class FlyMQTransactionAutoConfiguration {
    @Bean
    public FlyMQTransactionManager flyMQTransactionManager(TransactionalProducer producer) {
        return new FlyMQTransactionManager(producer);
    }
}
