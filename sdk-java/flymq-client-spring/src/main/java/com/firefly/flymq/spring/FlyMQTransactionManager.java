package com.firefly.flymq.spring;

import com.firefly.flymq.TransactionalProducer;
import com.firefly.flymq.exception.FlyMQException;

import org.jspecify.annotations.Nullable;
import org.springframework.transaction.CannotCreateTransactionException;
import org.springframework.transaction.IllegalTransactionStateException;
import org.springframework.transaction.TransactionDefinition;
import org.springframework.transaction.TransactionSystemException;
import org.springframework.transaction.TransactionTimedOutException;
import org.springframework.transaction.support.AbstractPlatformTransactionManager;
import org.springframework.transaction.support.DefaultTransactionStatus;
import org.springframework.transaction.support.ResourceTransactionManager;
import org.springframework.transaction.support.SmartTransactionObject;
import org.springframework.transaction.support.TransactionSynchronizationManager;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Has {@code @Transactional} methods send in a transaction of the {@link TransactionalProducer}: all of it is read once the outermost
 * of them returns, none of it when it throws. Inside, {@link #current()} is the transaction.
 *
 * <pre>{@code
 * @Transactional
 * void place(Order order) {
 *     transactions.current().send("orders", NewMessage.of(order.toString()));
 *     transactions.current().send("bills", NewMessage.of(order.total()));
 * }
 * }</pre>
 *
 * <p>A producer has one transaction at a time: another thread's begins when it is over. The transactions of a database are others, which
 * end by themselves.
 */
public final class FlyMQTransactionManager extends AbstractPlatformTransactionManager implements ResourceTransactionManager {
    private static final long serialVersionUID = 1;
    /** How long a thread waits for the transaction of another one, where its definition says nothing. */
    private static final int WAIT_SECONDS = 60;

    private final transient TransactionalProducer producer;
    private final transient Semaphore turn = new Semaphore(1, true);

    public FlyMQTransactionManager(TransactionalProducer producer) {
        this.producer = producer;
        setNestedTransactionAllowed(false);
    }

    /**
     * The transaction of this thread.
     *
     * @throws IllegalTransactionStateException outside a transaction
     */
    public TransactionalProducer.Scope current() {
        Open open = open();
        if (open == null) {
            throw new IllegalTransactionStateException("no FlyMQ transaction is open in this thread: "
                    + "call it inside a method with @Transactional, which another bean calls");
        }
        return open.scope;
    }

    @Override
    public Object getResourceFactory() {
        return producer;
    }

    private @Nullable Open open() {
        return (Open) TransactionSynchronizationManager.getResource(producer);
    }

    @Override
    protected Object doGetTransaction() {
        return new Transaction(open());
    }

    @Override
    protected boolean isExistingTransaction(Object transaction) {
        return ((Transaction) transaction).open != null;
    }

    @Override
    protected void doBegin(Object transaction, TransactionDefinition definition) {
        if (definition.getIsolationLevel() != TransactionDefinition.ISOLATION_DEFAULT) {
            throw new CannotCreateTransactionException("readers choose their isolation; a producer's transaction has none");
        }
        int wait = determineTimeout(definition);
        takeTurn(wait == TransactionDefinition.TIMEOUT_DEFAULT ? WAIT_SECONDS : wait);
        boolean begun = false;
        try {
            Open open = new Open(producer.begin());
            ((Transaction) transaction).open = open;
            TransactionSynchronizationManager.bindResource(producer, open);
            begun = true;
        } catch (FlyMQException e) {
            throw new CannotCreateTransactionException("FlyMQ began no transaction: " + e.getMessage(), e);
        } finally {
            if (!begun) {
                turn.release();
            }
        }
    }

    private void takeTurn(int seconds) {
        try {
            if (!turn.tryAcquire(seconds, TimeUnit.SECONDS)) {
                throw new TransactionTimedOutException(
                        "another thread's transaction was open for " + seconds + " s: a producer has one at a time");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CannotCreateTransactionException("interrupted while another thread's transaction was open", e);
        }
    }

    @Override
    protected void doCommit(DefaultTransactionStatus status) {
        try {
            opened(status).scope.commit();
        } catch (FlyMQException e) {
            throw new TransactionSystemException("FlyMQ did not commit: " + e.getMessage(), e);
        }
    }

    @Override
    protected void doRollback(DefaultTransactionStatus status) {
        opened(status).scope.close();
    }

    @Override
    protected void doSetRollbackOnly(DefaultTransactionStatus status) {
        opened(status).rollbackOnly = true;
    }

    private static Open opened(DefaultTransactionStatus status) {
        Open open = ((Transaction) status.getTransaction()).open;
        if (open == null) {
            throw new IllegalTransactionStateException("the transaction was never begun");
        }
        return open;
    }

    @Override
    protected Object doSuspend(Object transaction) {
        throw new IllegalTransactionStateException(
                "a FlyMQ producer has one transaction at a time: it cannot be suspended for another (REQUIRES_NEW, NOT_SUPPORTED)");
    }

    @Override
    protected void doCleanupAfterCompletion(Object transaction) {
        TransactionSynchronizationManager.unbindResource(producer);
        // Aborts what is left open, where a commit has failed.
        Open open = ((Transaction) transaction).open;
        ((Transaction) transaction).open = null;
        try {
            if (open != null) {
                open.scope.close();
            }
        } finally {
            turn.release();
        }
    }

    /** A transaction that is bound to a thread. */
    private static final class Open {
        private final TransactionalProducer.Scope scope;
        private boolean rollbackOnly;

        private Open(TransactionalProducer.Scope scope) {
            this.scope = scope;
        }
    }

    private static final class Transaction implements SmartTransactionObject {
        private @Nullable Open open;

        private Transaction(@Nullable Open open) {
            this.open = open;
        }

        @Override
        public boolean isRollbackOnly() {
            return open != null && open.rollbackOnly;
        }
    }
}
