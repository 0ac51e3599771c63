package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// produce sends the messages from all producers at once and waits for every ack.
func produce(o options) (result, error) {
	conns, err := open(o, o.connections)
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	values := newPayload(o.size)
	if _, _, _, err := sendAll(o, conns, values, o.warmup); err != nil {
		return result{}, err
	}
	samples, failed, seconds, err := sendAll(o, conns, values, o.messages)
	if err != nil {
		return result{}, err
	}
	res := result{Messages: o.messages, Bytes: int64(o.messages) * int64(o.size), Seconds: seconds, Errors: failed,
		Version: conns[0].ConnectedServerVersion(), Flags: map[string]any{"size": o.size, "connections": o.connections,
			"producers": o.producers, "in_flight": o.inFlight, "storage": "file", "replicas": o.replicas, "client": "nats.go " + nats.Version}}
	res.percentiles(samples)
	return res, nil
}

// sendAll shares total out over the producers; it returns the latency samples (one in flight only), the failures and the seconds.
func sendAll(o options, conns []*nats.Conn, values payload, total int) ([]time.Duration, int64, float64, error) {
	var group sync.WaitGroup
	var failed atomic.Int64
	parts := make([][]time.Duration, o.producers)
	errs := make([]error, o.producers)
	start := time.Now()
	for p := range o.producers {
		count := total / o.producers
		if p < total%o.producers {
			count++
		}
		group.Add(1)
		go func() {
			defer group.Done()
			if o.inFlight == 1 {
				parts[p], errs[p] = sendOneByOne(o, conns[p%len(conns)], values, count)
			} else {
				errs[p] = sendPipelined(o, conns[p%len(conns)], values, count, &failed)
			}
		}()
	}
	group.Wait()
	seconds := time.Since(start).Seconds()
	var samples []time.Duration
	for _, part := range parts {
		samples = append(samples, part...)
	}
	return samples, failed.Load(), seconds, errors.Join(errs...)
}

func sendOneByOne(o options, nc *nats.Conn, values payload, count int) ([]time.Duration, error) {
	js, err := nc.JetStream(nats.MaxWait(30 * time.Second))
	if err != nil {
		return nil, err
	}
	samples := make([]time.Duration, 0, count)
	for i := range count {
		sent := time.Now()
		if _, err := js.Publish(o.topic, values.value(i)); err != nil {
			return samples, err
		}
		samples = append(samples, time.Since(sent))
	}
	return samples, nil
}

// sendPipelined keeps up to in-flight messages unacked; no clock is read per message, so that the client runs at its best.
func sendPipelined(o options, nc *nats.Conn, values payload, count int, failed *atomic.Int64) error {
	lost := func(nats.JetStream, *nats.Msg, error) { failed.Add(1) }
	js, err := nc.JetStream(nats.PublishAsyncMaxPending(o.inFlight), nats.PublishAsyncErrHandler(lost))
	if err != nil {
		return err
	}
	for i := range count {
		// A full window must wait, not fail, however slow the disk is.
		if _, err := js.PublishAsync(o.topic, values.value(i), nats.StallWait(time.Minute)); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-time.After(giveUp):
		return errors.New("not every message was acked in time")
	}
}
