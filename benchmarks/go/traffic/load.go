package main

import (
	"flag"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A tally is what one connection saw: outcomes by status or kind of error, and latencies by whole microseconds.
type tally struct {
	Requests int64            `json:"requests"`
	Outcomes map[string]int64 `json:"outcomes"`
	Micros   map[int64]int64  `json:"us"`
	Seconds  float64          `json:"seconds"`
}

// A target has its own connections, which wait for the moments of its requests.
type target struct {
	to      string
	moments chan time.Time
	tallies []*tally
}

type plan struct {
	targets     []*target
	connections int
	rate        float64
	requests    int64
	slice       int64
	warm        time.Duration
}

// load asks until so many requests were sent or standard input ends. With a rate each request has its moment and its
// latency counts from then, however late a connection was free (open loop); without, each connection asks again at
// once. What falls into the first `warm` is asked but not counted. Several targets are asked in turns, each turn so
// short that whatever else the machine does meets all of them.
func load(arguments []string) {
	p := read(arguments)
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	began := time.Now()
	go p.schedule(began, stop)
	var all sync.WaitGroup
	for _, each := range p.targets {
		for range p.connections {
			into := newTally()
			each.tallies = append(each.tallies, into)
			all.Add(1)
			go func() {
				defer all.Done()
				p.asks(each, into, began)
			}()
		}
	}
	all.Wait()
	share := (time.Since(began) - p.warm) / time.Duration(len(p.targets))
	var found []*tally
	for _, each := range p.targets {
		found = append(found, sum(each.tallies, share))
	}
	say(found)
}

func read(arguments []string) (p plan) {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	to := flags.String("to", "", "host:port, or several with commas")
	flags.IntVar(&p.connections, "connections", 32, "kept connections to each")
	flags.Float64Var(&p.rate, "rate", 0, "requests a second; 0: as fast as they are answered")
	flags.Int64Var(&p.requests, "requests", 0, "end after so many; 0: when standard input ends")
	flags.Int64Var(&p.slice, "slice", 100, "requests of a turn")
	flags.DurationVar(&p.warm, "warm", 0, "not counted at the start")
	_ = flags.Parse(arguments)
	for _, each := range strings.Split(*to, ",") {
		p.targets = append(p.targets, &target{to: each, moments: make(chan time.Time, 1<<16)})
	}
	return p
}

// schedule gives every request its moment and its target, and closes the channels after the last. Zero means: now.
func (p plan) schedule(began time.Time, stop <-chan struct{}) {
	defer func() {
		for _, each := range p.targets {
			close(each.moments)
		}
	}()
	runtime.LockOSThread()
	for n := int64(0); p.requests == 0 || n < p.requests; n++ {
		var at time.Time
		if p.rate > 0 {
			at = began.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
			sleep(time.Until(at))
		}
		select {
		case <-stop:
			return
		default:
		}
		select {
		case <-stop:
			return
		case p.turn(n).moments <- at:
		}
	}
}

// turn goes through the targets forwards and then backwards, so that none always follows the same one.
func (p plan) turn(n int64) *target {
	count := int64(len(p.targets))
	round, place := n/p.slice/count, n/p.slice%count
	if round%2 == 1 {
		place = count - 1 - place
	}
	return p.targets[place]
}

// sleep is the kernel's: Go's own wakes by whole milliseconds while connections are waited for, and requests would be
// late by as much as they take.
func sleep(left time.Duration) {
	if left > 0 {
		rest := syscall.NsecToTimespec(left.Nanoseconds())
		_ = syscall.Nanosleep(&rest, nil)
	}
}

func (p plan) asks(each *target, into *tally, began time.Time) {
	line := &line{to: each.to}
	defer line.close()
	for at := range each.moments {
		if at.IsZero() {
			at = time.Now()
		}
		outcome := line.ask()
		if at.Sub(began) < p.warm {
			continue
		}
		into.Requests++
		into.Outcomes[outcome]++
		into.Micros[time.Since(at).Microseconds()]++
	}
}

func newTally() *tally {
	return &tally{Outcomes: map[string]int64{}, Micros: map[int64]int64{}}
}

func sum(tallies []*tally, took time.Duration) *tally {
	whole := newTally()
	whole.Seconds = took.Seconds()
	for _, each := range tallies {
		whole.Requests += each.Requests
		for outcome, count := range each.Outcomes {
			whole.Outcomes[outcome] += count
		}
		for micros, count := range each.Micros {
			whole.Micros[micros] += count
		}
	}
	return whole
}
