// Command nats-bench is the NATS JetStream side of FlyMQ's benchmark: one run, one JSON line (see ../README.md).
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// result is the line every driver prints; a nil percentile means that the work has no such figure.
type result struct {
	Peer     string         `json:"peer"`
	Work     string         `json:"work"`
	Messages int            `json:"messages"`
	Bytes    int64          `json:"bytes"`
	Seconds  float64        `json:"seconds"`
	Rate     float64        `json:"msgs_per_s"`
	P50      *float64       `json:"p50_us"`
	P99      *float64       `json:"p99_us"`
	P999     *float64       `json:"p999_us"`
	Errors   int64          `json:"errors"`
	Acks     string         `json:"acks"`
	Version  string         `json:"version"`
	Flags    map[string]any `json:"flags"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "nats-bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	works := map[string]func(options) (result, error){"produce": produce, "consume": consume, "e2e": endToEnd}
	work, known := works[opts.work]
	if !known {
		return fmt.Errorf("unknown work %q: produce, consume or e2e", opts.work)
	}
	res, err := work(opts)
	if err != nil {
		return err
	}
	res.Peer, res.Work, res.Acks = "nats", opts.work, opts.acks
	if res.Seconds > 0 {
		res.Rate = float64(res.Messages) / res.Seconds
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}
