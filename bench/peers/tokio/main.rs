// SPDX-License-Identifier: MIT

//! tokio on its current_thread runtime. Its tasks have no stack of their own, so what they cost in
//! memory is not the same thing; a group is a JoinSet, and cancelling is abort_all.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::task::{spawn, yield_now, JoinSet};
use tokio::time::{sleep, sleep_until, Instant as At};

thread_local!(static COUNT: Cell<i64> = Cell::new(0));

fn count() -> i64 {
    COUNT.with(|c| c.get())
}

fn add(n: i64) {
    COUNT.with(|c| c.set(c.get() + n));
}

fn reset() {
    COUNT.with(|c| c.set(0));
}

fn give(name: &str, value: f64) {
    println!("{name} {value}");
}

fn since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64
}

/// User and system time of this process, from /proc, in nanoseconds.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Resident memory and page tables together.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let kb: f64 = text
        .lines()
        .filter(|l| l.starts_with("VmRSS:") || l.starts_with("VmPTE:"))
        .map(|l| l[6..].trim().trim_end_matches(" kB").parse::<f64>().unwrap())
        .sum();
    kb * 1024.0
}

async fn ring(tasks: i64, each: i64) -> f64 {
    let mut set = JoinSet::new();
    reset();
    for _ in 0..tasks {
        set.spawn(async move {
            for _ in 0..each {
                yield_now().await;
                add(1);
            }
        });
    }
    let start = Instant::now();
    while set.join_next().await.is_some() {}
    assert_eq!(count(), tasks * each);
    since(start) / (tasks * each) as f64
}

async fn yield_two() {
    ring(2, 1000).await;
    give("yield", ring(2, 500_000).await);
}

async fn yield_many() {
    ring(1000, 10).await;
    give("yield1000", ring(1000, 2000).await);
}

async fn spawn_join() {
    let n = 1_000_000;
    let mut start = Instant::now();
    for i in -n / 10..n {
        if i == 0 {
            start = Instant::now();
        }
        spawn(async { add(1) }).await.unwrap();
    }
    give("spawn_join", since(start) / n as f64);
    assert_eq!(count(), n + n / 10);
}

async fn spawn1000() {
    let rounds = 1000;
    let mut start = Instant::now();
    for i in -10..rounds {
        if i == 0 {
            start = Instant::now();
        }
        let mut set = JoinSet::new();
        for _ in 0..1000 {
            set.spawn(async { add(1) });
        }
        while set.join_next().await.is_some() {}
    }
    give("spawn1000", since(start) / (1e3 * rounds as f64));
    assert_eq!(count(), 1000 * (rounds + 10));
}

struct Gone;

impl Drop for Gone {
    fn drop(&mut self) {
        add(-1);
    }
}

/// Start, memory, tear-down, each by task.
async fn sleepers<F: Future<Output = ()> + Send + 'static>(
    n: i64,
    wait: fn() -> F,
) -> (f64, f64, f64) {
    let (before, start) = (memory(), Instant::now());
    let mut set = JoinSet::new();
    reset();
    for _ in 0..n {
        set.spawn(async move {
            add(1);
            let _gone = Gone;
            wait().await;
        });
    }
    while count() < n {
        yield_now().await;
    }
    let took = since(start) / n as f64;
    let bytes = (memory() - before) / n as f64;
    let start = Instant::now();
    set.abort_all();
    while set.join_next().await.is_some() {}
    assert_eq!(count(), 0);
    (took, bytes, since(start) / n as f64)
}

async fn an_hour() {
    sleep(Duration::from_secs(3600)).await;
}

async fn cancel10000() {
    sleepers(10000, std::future::pending).await;
    give("cancel10000", sleepers(10000, std::future::pending).await.2);
}

async fn sleepers100k() {
    let (start, bytes, teardown) = sleepers(100_000, an_hour).await;
    give("sleepers100k_start", start);
    give("sleepers100k_bytes", bytes);
    give("sleepers100k_teardown", teardown);
}

fn nap(seed: &mut u32) -> Duration {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    Duration::from_nanos(1_000_000 + (*seed as u64 * 9_000_000 >> 32))
}

/// Wakes a second, and processor time a wake.
async fn timers(n: u32) -> (f64, f64) {
    let start_at = At::now() + Duration::from_secs(1) + n * Duration::from_micros(50);
    for i in 0..n {
        let mut seed = i.wrapping_mul(2654435761).wrapping_add(88675123);
        spawn(async move {
            sleep_until(start_at).await;
            loop {
                sleep(nap(&mut seed)).await;
                add(1);
            }
        });
    }
    sleep_until(start_at + Duration::from_millis(200)).await;
    let (wall, cpu) = (Instant::now(), cpu_ns());
    reset();
    sleep(Duration::from_secs(2)).await;
    assert!(count() > n as i64);
    (count() as f64 / since(wall) * 1e9, (cpu_ns() - cpu) / count() as f64)
}

async fn timers100k() {
    let (rate, cpu) = timers(100_000).await;
    give("timers100k", rate / 1e6);
    give("timers100k_cpu", cpu);
}

async fn timers2000() {
    let (rate, cpu) = timers(2000).await;
    give("timers2000", cpu);
    give("timers2000_rate", rate / 1e3);
}

fn sky(first: u64, leaves: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            return first;
        }
        let each = leaves / 10;
        let kids: Vec<_> = (0..10).map(|i| spawn(sky(first + i * each, each))).collect();
        let mut sum = 0;
        for kid in kids {
            sum += kid.await.unwrap();
        }
        sum
    })
}

async fn skynet() {
    for name in ["skynet", "skynet_warm"] {
        let start = Instant::now();
        assert_eq!(spawn(sky(0, 1_000_000)).await.unwrap(), 499_999_500_000);
        give(name, since(start) / 1e6);
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let question = std::env::args().nth(1).unwrap_or_default();
    let answer: Pin<Box<dyn Future<Output = ()>>> = match question.as_str() {
        "yield" => Box::pin(yield_two()),
        "yield1000" => Box::pin(yield_many()),
        "spawn_join" => Box::pin(spawn_join()),
        "spawn1000" => Box::pin(spawn1000()),
        "cancel10000" => Box::pin(cancel10000()),
        "sleepers100k" => Box::pin(sleepers100k()),
        "timers100k" => Box::pin(timers100k()),
        "timers2000" => Box::pin(timers2000()),
        "skynet" => Box::pin(skynet()),
        _ => std::process::exit(64),
    };
    runtime.block_on(answer);
}
