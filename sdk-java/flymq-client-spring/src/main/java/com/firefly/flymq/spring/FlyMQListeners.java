package com.firefly.flymq.spring;

import com.firefly.flymq.ConsumerConfig;
import com.firefly.flymq.FlyMQClient;
import com.firefly.flymq.Listener;
import com.firefly.flymq.Message;
import com.firefly.flymq.MessageHandler;

import org.springframework.aop.support.AopUtils;
import org.springframework.beans.factory.BeanFactory;
import org.springframework.beans.factory.config.BeanPostProcessor;
import org.springframework.beans.factory.config.ConfigurableBeanFactory;
import org.springframework.context.SmartLifecycle;
import org.springframework.core.MethodIntrospector;
import org.springframework.core.annotation.AnnotatedElementUtils;
import org.springframework.util.ReflectionUtils;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** Finds the methods with {@link FlyMQListener}, and runs a listener for each while the context does. */
public final class FlyMQListeners implements BeanPostProcessor, SmartLifecycle {
    private record Found(Object bean, Method method, FlyMQListener annotation) {}

    private final BeanFactory beans;
    private final List<Found> found = new ArrayList<>();
    private final List<Listener> running = new ArrayList<>();

    FlyMQListeners(BeanFactory beans) {
        this.beans = beans;
    }

    @Override
    public Object postProcessAfterInitialization(Object bean, String name) {
        Map<Method, FlyMQListener> methods = MethodIntrospector.selectMethods(
                AopUtils.getTargetClass(bean),
                (MethodIntrospector.MetadataLookup<FlyMQListener>)
                        method -> AnnotatedElementUtils.findMergedAnnotation(method, FlyMQListener.class));
        methods.forEach((method, annotation) -> {
            if (method.getParameterCount() != 1) {
                throw new IllegalStateException("@FlyMQListener " + method + " has to take one parameter: a Message, "
                        + "byte[], String, or what the client's serde makes of the value");
            }
            Method invocable = AopUtils.selectInvocableMethod(method, bean.getClass());
            ReflectionUtils.makeAccessible(invocable);
            found.add(new Found(bean, invocable, annotation));
        });
        return bean;
    }

    @Override
    public synchronized void start() {
        if (found.isEmpty() || isRunning()) {
            return;
        }
        FlyMQClient client = beans.getBean(FlyMQClient.class);
        for (Found one : found) {
            for (int i = 0; i < one.annotation.concurrency(); i++) {
                running.add(listen(client, one));
            }
        }
    }

    private Listener listen(FlyMQClient client, Found one) {
        FlyMQListener wanted = one.annotation;
        ConsumerConfig config = new ConsumerConfig().autoOffsetReset(wanted.autoOffsetReset());
        if (wanted.maxRetries() >= 0) {
            config.maxRetries(wanted.maxRetries());
        }
        if (wanted.retryDelayMs() >= 0) {
            config.retryDelay(Duration.ofMillis(wanted.retryDelayMs()));
        }
        List<String> topics = Arrays.stream(wanted.topics()).map(this::resolved).toList();
        return client.listen(topics, resolved(wanted.group()), config, handler(one));
    }

    private String resolved(String text) {
        String value = beans instanceof ConfigurableBeanFactory factory ? factory.resolveEmbeddedValue(text) : text;
        return value == null ? text : value;
    }

    private static MessageHandler handler(Found one) {
        Class<?> type = one.method.getParameterTypes()[0];
        return message -> {
            try {
                one.method.invoke(one.bean, argument(message, type));
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof Exception cause) {
                    throw cause;
                }
                throw e;
            }
        };
    }

    private static Object argument(Message message, Class<?> type) {
        if (type == Message.class) {
            return message;
        }
        if (type == byte[].class) {
            return message.value();
        }
        return type == String.class ? message.valueAsString() : message.decode(type);
    }

    @Override
    public synchronized void stop() {
        running.forEach(Listener::close);
        running.clear();
    }

    @Override
    public synchronized boolean isRunning() {
        return !running.isEmpty();
    }
}
