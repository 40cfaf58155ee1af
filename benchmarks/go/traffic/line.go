package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

const patience = 10 * time.Second // an answer that takes longer is a failed request

// A line is one kept connection; it is opened again when the other side has closed it.
type line struct {
	to     string
	conn   net.Conn
	reader *bufio.Reader
}

var request = []byte("GET / HTTP/1.1\r\nhost: web\r\n\r\n")

// ask sends one request and never a second for it: whatever is not an answer is an outcome of its own.
func (l *line) ask() string {
	if l.conn == nil {
		conn, err := net.DialTimeout("tcp", l.to, patience)
		if err != nil {
			return "connect: " + kind(err)
		}
		l.conn, l.reader = conn, bufio.NewReader(conn)
	}
	_ = l.conn.SetDeadline(time.Now().Add(patience))
	if _, err := l.conn.Write(request); err != nil {
		l.close()
		return kind(err)
	}
	status, keep, err := readAnswer(l.reader)
	if err != nil {
		l.close()
		return kind(err)
	}
	if !keep {
		l.close()
	}
	return status
}

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// readAnswer reads an answer that says its length, as all do here.
func readAnswer(reader *bufio.Reader) (status string, keep bool, err error) {
	first, err := reader.ReadSlice('\n')
	if err != nil {
		return "", false, err
	}
	if len(first) < 12 {
		return "", false, errors.New("no status")
	}
	status, keep = string(first[9:12]), true
	length := 0
	for {
		header, err := reader.ReadSlice('\n')
		if err != nil {
			return "", false, err
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
				return "", false, err
			}
		case bytes.EqualFold(name, []byte("connection")):
			keep = !bytes.EqualFold(value, []byte("close"))
		}
	}
	_, err = reader.Discard(length)
	return status, keep, err
}

func kind(err error) string {
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return err.Error()
}
