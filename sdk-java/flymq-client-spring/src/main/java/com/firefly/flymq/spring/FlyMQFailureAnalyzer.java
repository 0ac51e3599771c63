package com.firefly.flymq.spring;

import com.firefly.flymq.exception.FlyMQException;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/** An application that cannot start because of FlyMQ shows what to do instead of a stack trace. */
class FlyMQFailureAnalyzer extends AbstractFailureAnalyzer<FlyMQException> {
    @Override
    protected FailureAnalysis analyze(Throwable rootFailure, FlyMQException cause) {
        String action = cause.hint() + System.lineSeparator()
                + "The address comes from flymq.host and flymq.port, or from flymq.bootstrap-servers.";
        return new FailureAnalysis("FlyMQ: " + cause.info().message(), action, cause);
    }
}
