package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// serve answers every request with 200 and the cluster's name, which the node's name begins with. On SIGTERM it goes
// on for so long that everybody has looked away.
func serve(arguments []string) {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	listen := flags.String("listen", ":8080", "address")
	linger := flags.Duration("linger", 5*time.Second, "how long it answers after SIGTERM")
	_ = flags.Parse(arguments)
	cluster := os.Getenv("NODE_NAME")
	if at := strings.LastIndex(cluster, "-"); at > 0 {
		cluster = cluster[:at]
	}
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nx-served-by: %s\r\ncontent-length: 3\r\n\r\nok\n", cluster))
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		fail(err.Error())
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				fail(err.Error())
			}
			go answers(conn, answer)
		}
	}()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	time.Sleep(*linger)
}

// Requests have no body: a blank line ends each.
func answers(conn net.Conn, answer []byte) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 2048)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
