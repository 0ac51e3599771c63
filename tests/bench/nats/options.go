package main

import (
	"errors"
	"flag"
	"strings"
	"time"
)

// giveUp bounds every run: a broker that stops answering ends the run with an error instead of a hang.
const giveUp = 10 * time.Minute

type options struct {
	servers, work, topic, acks             string
	messages, size, connections, producers int
	inFlight, warmup, rate, seconds        int
	replicas                               int
}

func parse(args []string) (options, error) {
	var o options
	if len(args) < 3 || args[0] != "--servers" {
		return o, errors.New("usage: nats-bench --servers HOST:PORT produce|consume|e2e --topic T [options]")
	}
	o.servers, o.work = "nats://"+strings.ReplaceAll(args[1], ",", ",nats://"), args[2]
	f := flag.NewFlagSet("nats-bench", flag.ContinueOnError)
	f.StringVar(&o.topic, "topic", "bench", "stream and subject")
	f.StringVar(&o.acks, "acks", "stored", "what an ack means on this server; only reported")
	f.IntVar(&o.messages, "messages", 100_000, "measured messages")
	f.IntVar(&o.size, "size", 1024, "value length in bytes")
	f.IntVar(&o.connections, "connections", 1, "connections")
	f.IntVar(&o.producers, "producers", 1, "concurrent producers")
	f.IntVar(&o.inFlight, "in-flight", 4000, "messages not yet acked, per connection; 1 waits for each")
	f.IntVar(&o.warmup, "warmup", 0, "messages before the clock starts")
	f.IntVar(&o.replicas, "replicas", 1, "copies of the stream; with more than one the leader's server is used")
	f.IntVar(&o.rate, "rate", 5000, "messages a second (e2e)")
	f.IntVar(&o.seconds, "seconds", 10, "seconds (e2e)")
	if err := f.Parse(args[3:]); err != nil {
		return o, err
	}
	if o.size < 16 || o.messages < 1 || o.connections < 1 || o.producers < 1 || o.inFlight < 1 || o.rate < 1 {
		return o, errors.New("size from 16, all counts from 1")
	}
	return o, nil
}
