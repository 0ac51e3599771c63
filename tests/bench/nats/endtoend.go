package main

import (
	"encoding/binary"
	"errors"
	"runtime"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

// endToEnd sends at a fixed rate whatever the answers do (open loop) and times each message from the moment it was due.
func endToEnd(o options) (result, error) {
	conns, err := open(o, 2)
	if err != nil {
		return result{}, err
	}
	defer closeAll(conns)
	total := o.warmup + o.rate*o.seconds
	plan := schedule{rate: o.rate, total: total}
	samples, done := make([]time.Duration, total), make(chan struct{})
	js, err := conns[1].JetStream()
	if err != nil {
		return result{}, err
	}
	var seen int
	sub, err := js.Subscribe(o.topic, func(m *nats.Msg) {
		i := int(binary.BigEndian.Uint64(m.Data))
		samples[i] = time.Since(plan.due(i))
		if seen++; seen == total {
			close(done)
		}
	}, nats.OrderedConsumer())
	if err != nil {
		return result{}, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return result{}, err
	}
	if err := conns[1].Flush(); err != nil {
		return result{}, err
	}
	values := newPayload(o.size)
	plan.start = time.Now().Add(50 * time.Millisecond)
	if err := sendOnTime(o, conns[0], values, plan); err != nil {
		return result{}, err
	}
	select {
	case <-done:
	case <-time.After(giveUp):
		return result{}, errors.New("not every message arrived in time")
	}
	measured := total - o.warmup
	res := result{Messages: measured, Bytes: int64(measured) * int64(o.size), Seconds: time.Since(plan.due(o.warmup)).Seconds(),
		Version: conns[0].ConnectedServerVersion(),
		Flags:   map[string]any{"size": o.size, "rate": o.rate, "consumer": "ordered push", "client": "nats.go " + nats.Version}}
	res.percentiles(samples[o.warmup:])
	return res, nil
}

// schedule says when each message is due.
type schedule struct {
	start       time.Time
	rate, total int
}

func (s schedule) due(i int) time.Time {
	return s.start.Add(time.Duration(i) * time.Second / time.Duration(s.rate))
}

// sendOnTime sleeps in the kernel: the runtime's own timers round up to a millisecond, five messages at 5,000 a second.
func sendOnTime(o options, nc *nats.Conn, values payload, plan schedule) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	js, err := nc.JetStream(nats.PublishAsyncMaxPending(1 << 20))
	if err != nil {
		return err
	}
	for i := range plan.total {
		if wait := time.Until(plan.due(i)); wait > 0 {
			spec := syscall.NsecToTimespec(wait.Nanoseconds())
			// A signal may cut the sleep short; then this one message leaves a little early, which its own latency shows.
			_ = syscall.Nanosleep(&spec, nil)
		}
		value := append([]byte(nil), values.value(i)...)
		binary.BigEndian.PutUint64(value, uint64(i))
		if _, err := js.PublishAsync(o.topic, value); err != nil {
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
