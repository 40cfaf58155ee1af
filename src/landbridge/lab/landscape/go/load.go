package main

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/signal"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	late       = 50 * time.Millisecond // behind the schedule from which a request counts as sent late
	maxSamples = 100
	steps      = 40 // buckets to a factor of ten
)

// A target as `landbridge.lab.load.target` writes it; only what HTTP needs.
type target struct {
	Name    string  `json:"name"`
	Host    string  `json:"host"`
	Port    int     `json:"port"`
	Path    string  `json:"path"`
	Rate    float64 `json:"rate"`
	MaxAge  float64 `json:"max_age"`
	Timeout float64 `json:"timeout"`
}

// Counts of all targets together, named as in `landbridge.lab.load.tally`.
type counts struct {
	Requests int64            `json:"requests"`
	OK       int64            `json:"ok"`
	Failed   int64            `json:"failed"`
	Broken   int64            `json:"failed_by_broken_copy"`
	InFlight int64            `json:"in_flight"`
	Late     int64            `json:"late"`
	Retried  int64            `json:"retried"`
	Again    int64            `json:"reconnects"`
	Events   int64            `json:"events"`
	Latest   float64          `json:"latest_ms"`
	Sides    map[string]int64 `json:"sides"`
	Kinds    map[string]int64 `json:"kinds"`
	Copies   map[string]int64 `json:"broken"`
}

type second struct {
	Line    string  `json:"line"`
	At      string  `json:"at"`
	Seconds float64 `json:"seconds"`
	counts
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

type failure struct {
	Line   string `json:"line"`
	At     string `json:"at"`
	Target string `json:"target"`
	Kind   string `json:"kind"`
	Side   string `json:"side"`
	Broken string `json:"broken"`
	Chain  string `json:"chain"`
}

type tally struct {
	sync.Mutex
	counts
	all, recent map[int]int64
	samples     int
	out         *json.Encoder
}

// load asks each target at its rate (open loop): number n is due at n / rate after the target's own beginning, and its
// time is counted from then, whatever became of the others.
func load(arguments []string) {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	from := flags.String("targets", "", "a JSON file")
	to := flags.String("out", "", "a file for the lines")
	seconds := flags.Float64("seconds", 3600, "how long at most")
	_ = flags.Parse(arguments)
	text, err := os.ReadFile(*from)
	var targets []*target
	if err == nil {
		err = json.Unmarshal(text, &targets)
	}
	if err != nil {
		fail(err.Error())
	}
	file, err := os.OpenFile(*to, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fail(err.Error())
	}
	into := newTally(json.NewEncoder(file))
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	stop := make(chan struct{})
	asked := make([]*lines, len(targets))
	for at, each := range targets { // one after the other: hundreds of questions at once are a test of the DNS
		asked[at] = newLines(each)
		for again := 0; again < 30; again++ {
			if _, err := asked[at].resolve(); err == nil {
				break
			}
			time.Sleep(time.Second)
		}
	}
	began := time.Now()
	var all sync.WaitGroup
	places, spaces := namespaces(targets)
	for at, each := range targets {
		all.Add(1)
		phase := time.Duration(float64(places[at]) / float64(spaces) / each.Rate * float64(time.Second))
		go func() {
			defer all.Done()
			each.drive(asked[at], began.Add(phase), into, stop)
		}()
	}
	tick := time.NewTicker(time.Second)
	over := time.After(time.Duration(*seconds * float64(time.Second)))
	for running := true; running; {
		select {
		case <-tick.C:
			into.say("second", began)
		case <-ended:
			running = false
		case <-over:
			running = false
		}
	}
	close(stop)
	all.Wait()
	into.say("summary", began)
}

// namespaces gives each target the number of its namespace, and how many there are. Those of one namespace are asked at
// the same moments: waking an idle proxy for each of its requests costs several times what they themselves do, and the
// machine that all of them share has two cores.
func namespaces(targets []*target) (places []int, count int) {
	numbers := map[string]int{}
	for _, each := range targets {
		_, space, _ := strings.Cut(each.Host, ".")
		if _, known := numbers[space]; !known {
			numbers[space] = len(numbers)
		}
		places = append(places, numbers[space])
	}
	return places, len(numbers)
}

func newTally(out *json.Encoder) *tally {
	empty := func() map[string]int64 { return map[string]int64{} }
	return &tally{
		counts: counts{Sides: empty(), Kinds: empty(), Copies: empty()},
		all:    map[int]int64{}, recent: map[int]int64{}, out: out,
	}
}

// drive sends what is due until told to stop, and waits for what is in flight.
func (t *target) drive(lines *lines, began time.Time, into *tally, stop <-chan struct{}) {
	var flying sync.WaitGroup
	timer := time.NewTimer(0)
	<-timer.C
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / t.Rate * float64(time.Second)))
		timer.Reset(time.Until(due))
		select {
		case <-stop:
			flying.Wait()
			lines.close()
			return
		case <-timer.C:
		}
		flying.Add(1)
		into.begin(time.Since(due))
		go func() {
			defer flying.Done()
			into.end(t.Name, lines.ask(), time.Since(due))
		}()
	}
}

func (t *tally) begin(lateness time.Duration) {
	t.Lock()
	defer t.Unlock()
	t.Requests++
	t.InFlight++
	t.Latest = max(t.Latest, math.Round(lateness.Seconds()*10000)/10)
	if lateness > late {
		t.Late++
	}
}

func (t *tally) end(name string, seen outcome, took time.Duration) {
	t.Lock()
	defer t.Unlock()
	t.InFlight--
	t.Kinds[seen.kind]++
	t.recent[int(math.Floor(math.Log10(max(took.Seconds(), 1e-5))*steps))]++
	if seen.side != "" {
		t.Sides[seen.side]++
	}
	if seen.retried {
		t.Retried++
	}
	if seen.ok {
		t.OK++
		return
	}
	t.Failed++
	if t.samples++; t.samples <= maxSamples {
		_ = t.out.Encode(failure{Line: "failure", At: now(), Target: name, Kind: seen.kind, Side: seen.side})
	}
}

// say writes the counts so far; a second has the percentiles of that second, the summary those of all.
func (t *tally) say(line string, began time.Time) {
	t.Lock()
	defer t.Unlock()
	for bucket, n := range t.recent {
		t.all[bucket] += n
	}
	from := t.recent
	if line == "summary" {
		from = t.all
	}
	t.recent = map[int]int64{}
	said := second{Line: line, At: now(), Seconds: math.Round(time.Since(began).Seconds()*10) / 10, counts: t.counts}
	said.P50, said.P99 = percentile(from, 0.5), percentile(from, 0.99)
	_ = t.out.Encode(said)
}

// percentile in milliseconds: the upper end of the bucket that holds it.
func percentile(buckets map[int]int64, part float64) float64 {
	var keys []int
	var total int64
	for bucket, n := range buckets {
		keys, total = append(keys, bucket), total+n
	}
	sort.Ints(keys)
	wanted, seen := int64(math.Ceil(float64(total)*part)), int64(0)
	for _, bucket := range keys {
		if seen += buckets[bucket]; seen >= wanted {
			return math.Round(math.Pow(10, float64(bucket+1)/steps)*1e5) / 100
		}
	}
	return 0
}

func now() string {
	return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
}
