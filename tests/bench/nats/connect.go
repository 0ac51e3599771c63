package main

import (
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// patience bounds how long a fresh cluster may take until it accepts a stream and has a leader for it.
const patience = 60 * time.Second

// open makes the stream and opens the connections: to the server that leads it, where there are several.
func open(o options, n int) ([]*nats.Conn, error) {
	servers, err := prepare(o)
	if err != nil {
		return nil, err
	}
	return connect(servers, n)
}

// connect opens the connections, without reconnects: a lost connection is a failed run.
func connect(servers string, n int) ([]*nats.Conn, error) {
	conns := make([]*nats.Conn, 0, n)
	for range n {
		nc, err := nats.Connect(servers, nats.NoReconnect(), nats.Timeout(10*time.Second))
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

// prepare makes the stream on file storage with one subject of the same name (an equal one may be there already), and
// returns the address to use.
func prepare(o options) (string, error) {
	nc, err := nats.Connect(o.servers, nats.NoReconnect(), nats.Timeout(10*time.Second))
	if err != nil {
		return "", err
	}
	defer nc.Close()
	js, err := nc.JetStream(nats.MaxWait(10 * time.Second))
	if err != nil {
		return "", err
	}
	config := &nats.StreamConfig{Name: o.topic, Subjects: []string{o.topic}, Storage: nats.FileStorage, Replicas: o.replicas}
	deadline := time.Now().Add(patience)
	for {
		info, err := js.AddStream(config)
		if err == nil && o.replicas == 1 {
			return o.servers, nil
		}
		if err == nil && info.Cluster != nil && info.Cluster.Leader != "" {
			return serverNamed(o.servers, info.Cluster.Leader)
		}
		if time.Now().After(deadline) {
			return "", errors.Join(errors.New("the stream has no leader"), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// serverNamed returns the address of the server with this name.
func serverNamed(servers, name string) (string, error) {
	for _, address := range strings.Split(servers, ",") {
		nc, err := nats.Connect(address, nats.NoReconnect(), nats.Timeout(10*time.Second))
		if err != nil {
			return "", err
		}
		found := nc.ConnectedServerName()
		nc.Close()
		if found == name {
			return address, nil
		}
	}
	return "", errors.New("no server is called " + name)
}
