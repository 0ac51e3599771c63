package main

import (
	"math/rand"
	"sort"
	"time"
)

const poolSize = 1 << 20

// payload cuts values out of a pool of random bytes at moving positions: no two neighbours are alike, nothing to compress.
type payload struct {
	pool []byte
	size int
}

func newPayload(size int) payload {
	pool := make([]byte, poolSize+size)
	rand.New(rand.NewSource(1)).Read(pool)
	return payload{pool, size}
}

func (p payload) value(i int) []byte {
	at := (i * 8191) % poolSize
	return p.pool[at : at+p.size]
}

// percentiles sorts the samples and puts p50, p99 and p99.9 in microseconds into the result.
func (r *result) percentiles(samples []time.Duration) {
	if len(samples) == 0 {
		return
	}
	sort.Slice(samples, func(a, b int) bool { return samples[a] < samples[b] })
	at := func(q float64) *float64 {
		us := float64(samples[int(q*float64(len(samples)-1))].Nanoseconds()) / 1000
		return &us
	}
	r.P50, r.P99, r.P999 = at(0.5), at(0.99), at(0.999)
}
