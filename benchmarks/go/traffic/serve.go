package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A backend answers 200 with its name. Last is when its latest request arrived, in nanoseconds of CLOCK_MONOTONIC,
// which other processes of the machine read alike.
type backend struct {
	Requests atomic.Int64
	Last     atomic.Int64
	answer   []byte
}

type seen struct {
	Requests int64 `json:"requests"`
	Last     int64 `json:"last"`
}

func serve(arguments []string) {
	backends := map[string]*backend{}
	for _, argument := range arguments {
		name, address, _ := strings.Cut(argument, "=")
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fail(err.Error())
		}
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nx-who: %s\r\ncontent-length: %d\r\n\r\n%s", name, len(name), name)
		backends[name] = &backend{answer: []byte(answer)}
		go accept(listener, backends[name])
	}
	say("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		all := map[string]seen{}
		for name, each := range backends {
			all[name] = seen{Requests: each.Requests.Load(), Last: each.Last.Load()}
		}
		say(all)
	}
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
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		b.Last.Store(monotonic())
		b.Requests.Add(1)
		if _, err := conn.Write(b.answer); err != nil {
			return
		}
	}
}

func monotonic() int64 {
	const clockMonotonic = 1
	var at syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&at)), 0)
	return at.Nano()
}
