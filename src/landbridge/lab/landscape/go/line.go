package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const maxIdle = 2 * time.Second // servers hang up on idle connections, and a request must not meet that

type outcome struct {
	kind, side  string
	ok, retried bool
}

// Lines are a target's kept connections.
type lines struct {
	sync.Mutex
	of      *target
	request []byte
	idle    []*line
	address string
}

type line struct {
	conn       net.Conn
	reader     *bufio.Reader
	born, used time.Time
	got        bool // a byte of the answer has come
}

func newLines(of *target) *lines {
	host := of.Host
	if of.Port != 80 {
		host = fmt.Sprintf("%s:%d", of.Host, of.Port)
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nhost: %s\r\nuser-agent: landbridge-load\r\n\r\n", of.Path, host)
	return &lines{of: of, request: []byte(request)}
}

// ask sends one request; once more on a new connection where a kept one turns out to have been closed before a byte of
// the answer came, as every client library does (RFC 9112, 9.3.1).
func (l *lines) ask() outcome {
	end := time.Now().Add(time.Duration(l.of.Timeout * float64(time.Second)))
	if kept := l.take(); kept != nil {
		seen, err := l.on(kept, end)
		if err == nil {
			return seen
		}
		var late net.Error
		if kept.got || errors.As(err, &late) && late.Timeout() {
			return outcome{kind: kind(err)}
		}
		seen = l.fresh(end)
		seen.retried = true
		return seen
	}
	return l.fresh(end)
}

func (l *lines) fresh(end time.Time) outcome {
	address, err := l.resolve()
	if err != nil {
		return outcome{kind: "dns"}
	}
	conn, err := (&net.Dialer{Deadline: end}).Dial("tcp", address)
	if err != nil {
		return outcome{kind: kind(err)}
	}
	seen, err := l.on(&line{conn: conn, reader: bufio.NewReaderSize(conn, 1024), born: time.Now()}, end)
	if err != nil {
		return outcome{kind: kind(err)}
	}
	return seen
}

// resolve asks once a target: the address of a Service stays for as long as the Service does. With a dot at its end no
// search path is tried.
func (l *lines) resolve() (string, error) {
	l.Lock()
	defer l.Unlock()
	if l.address == "" {
		found := []string{l.of.Host}
		if net.ParseIP(l.of.Host) == nil {
			var err error
			if found, err = net.LookupHost(l.of.Host + "."); err != nil {
				return "", err
			}
		}
		l.address = net.JoinHostPort(found[0], strconv.Itoa(l.of.Port))
	}
	return l.address, nil
}

func (l *lines) take() *line {
	l.Lock()
	defer l.Unlock()
	for len(l.idle) > 0 {
		last := l.idle[len(l.idle)-1]
		l.idle = l.idle[:len(l.idle)-1]
		young := l.of.MaxAge == 0 || time.Since(last.born).Seconds() < l.of.MaxAge
		if young && time.Since(last.used) < maxIdle {
			return last
		}
		_ = last.conn.Close()
	}
	return nil
}

func (l *lines) on(line *line, end time.Time) (outcome, error) {
	line.got = false
	_ = line.conn.SetDeadline(end)
	if _, err := line.conn.Write(l.request); err != nil {
		_ = line.conn.Close()
		return outcome{}, err
	}
	seen, keep, err := line.answer()
	line.used = time.Now()
	if err != nil || !keep {
		_ = line.conn.Close()
		return seen, err
	}
	l.Lock()
	l.idle = append(l.idle, line)
	l.Unlock()
	return seen, nil
}

func (l *lines) close() {
	for _, line := range l.idle {
		_ = line.conn.Close()
	}
}

// answer reads an answer that says its length, as all do here.
func (l *line) answer() (seen outcome, keep bool, err error) {
	first, err := l.reader.ReadSlice('\n')
	l.got = l.got || len(first) > 0
	if err != nil {
		return seen, false, err
	}
	if len(first) < 12 {
		return seen, false, errors.New("garbled")
	}
	seen.kind, seen.ok, keep = string(first[9:12]), first[9] < '4', true
	length := 0
	for {
		header, err := l.reader.ReadSlice('\n')
		if err != nil {
			return seen, false, err
		}
		header = bytes.TrimRight(header, "\r\n")
		if len(header) == 0 {
			break
		}
		name, value, _ := bytes.Cut(header, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return seen, false, err
			}
		case bytes.EqualFold(name, []byte("connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		case bytes.EqualFold(name, []byte("x-served-by")):
			seen.side = string(value)
		}
	}
	_, err = l.reader.Discard(length)
	return seen, keep, err
}

func kind(err error) string {
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "cut"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	}
	return "garbled"
}
