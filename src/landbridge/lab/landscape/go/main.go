// Landscape is what answers and what asks where hundreds of services share one machine: HTTP/1.1 on kept connections
// with as little work a request as can be. Its lines are those of `landbridge lab load`.
//
//	landscape serve -listen :8080             answers 200 and says which cluster it stands in
//	landscape load -targets FILE -out FILE    asks each target at its rate until SIGTERM
package main

import (
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

func fail(why string) {
	fmt.Fprintln(os.Stderr, "landscape:", why)
	os.Exit(2)
}
