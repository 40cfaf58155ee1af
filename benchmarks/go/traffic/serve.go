package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A backend answers 200 with its name. Last is when its latest request arrived, in nanoseconds of CLOCK_MONOTONIC,
// which other processes of the machine read alike. Crossed are its requests by the number of names in their hop header:
// none, one, more.
type backend struct {
	Requests atomic.Int64
	Last     atomic.Int64
	Crossed  [3]atomic.Int64
	answer   []byte
	hops     []byte
}

type seen struct {
	Requests int64    `json:"requests"`
	Last     int64    `json:"last"`
	Crossed  [3]int64 `json:"crossed"`
}

func serve(arguments []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	hops := flags.String("hops", "", "a header to which each cluster that a request comes into appends its name")
	_ = flags.Parse(arguments)
	backends := map[string]*backend{}
	for _, argument := range flags.Args() {
		name, address, _ := strings.Cut(argument, "=")
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fail(err.Error())
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nx-who: %s\r\ncontent-length: %d\r\n\r\n%s", name, len(name), name)
		backends[name] = &backend{answer: []byte(answer), hops: []byte(*hops)}
		go accept(listener, backends[name])
	}
	say("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		all := map[string]seen{}
		for name, each := range backends {
			all[name] = each.seen()
		}
		say(all)
	}
}

func (b *backend) seen() seen {
	found := seen{Requests: b.Requests.Load(), Last: b.Last.Load()}
	for number := range found.Crossed {
		found.Crossed[number] = b.Crossed[number].Load()
	}
	return found
}

func accept(listener net.Listener, to *backend) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err.Error())
		}
		go to.answers(conn)
	}
}

// Requests have no body: a blank line ends each.
func (b *backend) answers(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	crossed := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			crossed += b.names(line)
			continue
		}
		b.Last.Store(monotonic())
		b.Requests.Add(1)
		b.Crossed[min(crossed, 2)].Add(1)
		crossed = 0
		if _, err := conn.Write(b.answer); err != nil {
			return
		}
	}
}

// names counts those that a line of a request has in the hop header: a proxy may write a line for each, or commas.
func (b *backend) names(line []byte) int {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(b.hops) == 0 || !bytes.EqualFold(name, b.hops) {
		return 0
	}
	return 1 + bytes.Count(value, []byte(","))
}

func monotonic() int64 {
	const clockMonotonic = 1
	var at syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&at)), 0)
	return at.Nano()
}
