package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// consume reads the stream from its first message with an ordered push consumer, the client's fastest way.
func consume(o options) (result, error) {
	conns, err := connect(o.servers, 1)
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	js, err := conns[0].JetStream()
	if err != nil {
		return result{}, err
	}
	var seen int
	var bytes atomic.Int64
	done := make(chan struct{})
	start := time.Now()
	sub, err := js.Subscribe(o.topic, func(m *nats.Msg) {
		seen++
		bytes.Add(int64(len(m.Data)))
		if seen == o.messages {
			close(done)
		}
	}, nats.OrderedConsumer())
	if err != nil {
		return result{}, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return result{}, err
	}
	select {
	case <-done:
	case <-time.After(giveUp):
		return result{}, errors.New("not every message arrived in time")
	}
	return result{Messages: o.messages, Bytes: bytes.Load(), Seconds: time.Since(start).Seconds(),
		Version: conns[0].ConnectedServerVersion(),
		Flags:   map[string]any{"consumer": "ordered push", "client": "nats.go " + nats.Version}}, nil
}
