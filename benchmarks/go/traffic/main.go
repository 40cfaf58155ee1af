// Traffic is what the benchmarks send and what answers it: HTTP/1.1 on kept connections, with as little work a request
// as can be, for it shares the machine with what is measured. Both halves end when their standard input does, so
// nothing is left behind by a benchmark that dies.
//
//	traffic serve NAME=ADDRESS...     answers; says its counts for each line it is given
//	traffic load -to ADDRESS ...      asks; says its counts at the end
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signal.Ignore(syscall.SIGPIPE)
	if len(os.Args) < 2 {
		fail("serve or load?")
	}
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2:])
	case "load":
		load(os.Args[2:])
	default:
		fail("serve or load, not " + os.Args[1])
	}
}

func say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		fail(err.Error())
	}
	fmt.Println(string(line))
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "traffic:", why)
	os.Exit(2)
}
