// SPDX-License-Identifier: MIT

// Go with GOMAXPROCS=1. A group that fails is a WaitGroup with a context, as errgroup does it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

var count int64

func give(name string, value float64) { fmt.Printf("%s %.9g\n", name, value) }

func since(start time.Time) float64 { return float64(time.Since(start).Nanoseconds()) }

func must(ok bool) {
	if !ok {
		panic("the work was not done")
	}
}

func cpuNs() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano() + u.Stime.Nano())
}

// Resident memory and page tables together.
func memory() float64 {
	f, err := os.Open("/proc/self/status")
	must(err == nil)
	defer f.Close()
	sum := 0
	for in := bufio.NewScanner(f); in.Scan(); {
		line, kb := in.Text(), 0
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmPTE:") {
			fmt.Sscanf(line[6:], "%d", &kb)
			sum += kb
		}
	}
	return float64(sum) * 1024
}

func ring(tasks int, each int64) float64 {
	var wg sync.WaitGroup
	count = 0
	wg.Add(tasks)
	for i := 0; i < tasks; i++ {
		go func() {
			for k := int64(0); k < each; k++ {
				runtime.Gosched()
				count++
			}
			wg.Done()
		}()
	}
	start := time.Now()
	wg.Wait()
	must(count == int64(tasks)*each)
	return since(start) / float64(int64(tasks)*each)
}

func yieldTwo() {
	ring(2, 10000)
	give("yield", ring(2, 5000000))
}

func yieldMany() {
	ring(1000, 10)
	give("yield1000", ring(1000, 5000))
}

func spawn(each int, rounds int) float64 {
	var start time.Time
	count = 0
	for i := -rounds / 10; i < rounds; i++ {
		if i == 0 {
			start = time.Now()
		}
		var wg sync.WaitGroup
		wg.Add(each)
		for k := 0; k < each; k++ {
			go func() {
				count++
				wg.Done()
			}()
		}
		wg.Wait()
	}
	must(count == int64(each)*int64(rounds+rounds/10))
	return since(start) / float64(each*rounds)
}

func spawnJoin() { give("spawn_join", spawn(1, 1000000)) }
func spawn1000() { give("spawn1000", spawn(1000, 1000)) }

func blocks(ctx context.Context, wg *sync.WaitGroup) {
	count++
	<-ctx.Done()
	count--
	wg.Done()
}

func sleeps(ctx context.Context, wg *sync.WaitGroup) {
	count++
	t := time.NewTimer(time.Hour)
	select {
	case <-t.C:
		panic("an hour has gone by")
	case <-ctx.Done():
	}
	t.Stop()
	count--
	wg.Done()
}

type asleep struct{ start, bytes, teardown float64 }

func sleepers(n int, fn func(context.Context, *sync.WaitGroup)) (a asleep) {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	count = 0
	before, start := memory(), time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	wg.Add(n)
	for i := 0; i < n; i++ {
		go fn(ctx, &wg)
	}
	for count < int64(n) {
		runtime.Gosched()
	}
	a.start = since(start) / float64(n)
	a.bytes = (memory() - before) / float64(n)
	start = time.Now()
	wg.Add(1)
	go func() { // the one that fails
		defer wg.Done()
		once.Do(func() { first = errors.New("failed"); cancel() })
	}()
	wg.Wait()
	a.teardown = since(start) / float64(n)
	must(count == 0 && first != nil)
	return a
}

func cancel10000() {
	sleepers(10000, blocks)
	give("cancel10000", sleepers(10000, blocks).teardown)
}

func sleepers100k() {
	a := sleepers(100000, sleeps)
	give("sleepers100k_start", a.start)
	give("sleepers100k_bytes", a.bytes)
	give("sleepers100k_teardown", a.teardown)
}

func napFor(seed *uint32) time.Duration {
	*seed ^= *seed << 13
	*seed ^= *seed >> 17
	*seed ^= *seed << 5
	return time.Millisecond + time.Duration(uint64(*seed)*9000000>>32)
}

func timers(n int) (rate, cpu float64) {
	startAt := time.Now().Add(time.Second + time.Duration(n)*50*time.Microsecond)
	for i := 0; i < n; i++ {
		go func(seed uint32) {
			time.Sleep(time.Until(startAt))
			for {
				time.Sleep(napFor(&seed))
				count++
			}
		}(uint32(i)*2654435761 + 88675123)
	}
	time.Sleep(time.Until(startAt) + 200*time.Millisecond)
	wall, used := time.Now(), cpuNs()
	count = 0
	time.Sleep(2 * time.Second)
	must(count > int64(n))
	return float64(count) / since(wall) * 1e9, (cpuNs() - used) / float64(count)
}

func timers100k() {
	rate, cpu := timers(100000)
	give("timers100k", rate/1e6)
	give("timers100k_cpu", cpu)
}

func timers2000() {
	rate, cpu := timers(2000)
	give("timers2000", cpu)
	give("timers2000_rate", rate/1e3)
}

func sky(first, leaves int, out chan<- int) {
	if leaves == 1 {
		out <- first
		return
	}
	sums, sum := make(chan int, 10), 0
	for i := 0; i < 10; i++ {
		go sky(first+i*leaves/10, leaves/10, sums)
	}
	for i := 0; i < 10; i++ {
		sum += <-sums
	}
	out <- sum
}

func skynet() {
	for _, name := range []string{"skynet", "skynet_warm"} {
		out, start := make(chan int, 1), time.Now()
		go sky(0, 1000000, out)
		must(<-out == 499999500000)
		give(name, since(start)/1e6)
	}
}

func main() {
	questions := map[string]func(){
		"yield": yieldTwo, "yield1000": yieldMany,
		"spawn_join": spawnJoin, "spawn1000": spawn1000,
		"cancel10000": cancel10000, "sleepers100k": sleepers100k,
		"timers100k": timers100k, "timers2000": timers2000, "skynet": skynet,
	}
	runtime.GOMAXPROCS(1)
	if len(os.Args) != 2 || questions[os.Args[1]] == nil {
		os.Exit(64)
	}
	questions[os.Args[1]]()
}
