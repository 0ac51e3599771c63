package main

import (
	"time"

	"github.com/nats-io/nats.go"
)

// connect opens the connections, without reconnects: a lost connection is a failed run.
func connect(o options, n int) ([]*nats.Conn, error) {
	conns := make([]*nats.Conn, 0, n)
	for range n {
		nc, err := nats.Connect(o.servers, nats.NoReconnect(), nats.Timeout(10*time.Second))
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, nc)
	}
	return conns, nil
}

func closeAll(conns []*nats.Conn) {
	for _, nc := range conns {
		nc.Close()
	}
}

// ensureStream makes the stream on file storage with one subject of the same name; an equal one may be there already.
func ensureStream(nc *nats.Conn, topic string) error {
	js, err := nc.JetStream()
	if err != nil {
		return err
	}
	_, err = js.AddStream(&nats.StreamConfig{Name: topic, Subjects: []string{topic}, Storage: nats.FileStorage, Replicas: 1})
	return err
}
