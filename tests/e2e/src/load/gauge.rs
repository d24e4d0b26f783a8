//! What the webhook costs: its own histograms, its processor time, its memory; and what else the machine is busy with.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A histogram as `/metrics` has it, over all its label sets that were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Observations up to each bound; the bound in nanoseconds, the last one endless.
    buckets: BTreeMap<u64, f64>,
    /// All observations, in seconds.
    sum: f64,
}

impl Histogram {
    /// Reads `<name>_bucket` and `<name>_sum` of the label sets with `labels` in them.
    pub fn read(metrics: &str, name: &str, labels: &str) -> Self {
        let mut read = Self::default();
        for line in metrics.lines().filter(|line| line.contains(labels)) {
            let Some((rest, Ok(value))) = line.strip_prefix(name).and_then(|rest| rest.rsplit_once(' ')).map(|(rest, value)| (rest, value.parse::<f64>()))
            else {
                continue;
            };
            if rest.starts_with("_sum") {
                read.sum += value;
            } else if rest.starts_with("_bucket")
                && let Some(bound) = rest.split("le=\"").nth(1).and_then(|bound| bound.split('"').next())
            {
                *read.buckets.entry(nanoseconds(bound)).or_default() += value;
            }
        }
        read
    }

    /// What was observed since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().map(|(bound, count)| (*bound, count - before.buckets.get(bound).unwrap_or(&0.0))).collect();
        Self { buckets, sum: self.sum - before.sum }
    }

    /// How many observations.
    pub fn count(&self) -> f64 {
        self.buckets.last_key_value().map_or(0.0, |(_, count)| *count)
    }

    /// The mean, in milliseconds.
    pub fn mean(&self) -> f64 {
        self.sum / self.count() * 1000.0
    }

    /// The share of observations within a bound of the histogram, in milliseconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are small")]
    pub fn within(&self, milliseconds: f64) -> f64 {
        let bound = (milliseconds * 1e6).round() as u64;
        self.buckets.range(..=bound).next_back().map_or(0.0, |(_, count)| *count) / self.count()
    }

    /// The value that a share of the observations is below, in milliseconds: evenly spread within a bucket, as Prometheus has it.
    #[allow(clippy::cast_precision_loss, reason = "bounds are small")]
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = self.count() * share;
        let (mut below, mut counted) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            let bound = *bound as f64 / 1e6;
            if *count >= wanted && *count > counted {
                return below + (bound - below) * (wanted - counted) / (count - counted);
            }
            (below, counted) = (bound, *count);
        }
        f64::NAN
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are small")]
fn nanoseconds(bound: &str) -> u64 {
    bound.parse::<f64>().map_or(u64::MAX, |seconds| if seconds.is_finite() { (seconds * 1e9).round() as u64 } else { u64::MAX })
}

/// Memory of a process, in MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Resident, shared pages counted whole.
    pub resident: f64,
    /// Resident, shared pages counted by their share.
    pub proportional: f64,
    /// Of these, what is not a file's: what a container is charged for at least.
    pub anonymous: f64,
}

impl Memory {
    /// Of a process, now.
    pub fn of(process: u32) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
        let mebibytes =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0;
        Self { resident: mebibytes("Rss:"), proportional: mebibytes("Pss:"), anonymous: mebibytes("Anonymous:") }
    }

    /// The larger of each.
    pub fn most(self, other: Self) -> Self {
        Self {
            resident: self.resident.max(other.resident),
            proportional: self.proportional.max(other.proportional),
            anonymous: self.anonymous.max(other.anonymous),
        }
    }
}

/// The most resident memory that a process ever had, in MiB, as the kernel counts it.
pub fn high_water(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// Processor time used so far.
#[derive(Debug, Clone, Copy)]
pub struct Busy {
    at: Instant,
    guard: f64,
    own: f64,
    all: f64,
}

impl Busy {
    /// Now, with the webhook's process.
    pub fn now(guard: u32) -> Self {
        Self { at: Instant::now(), guard: of_process(&guard.to_string()), own: of_process("self"), all: of_machine() }
    }

    /// Seconds of processor time that the measured process has used since it was started.
    pub fn of_guard(&self) -> f64 {
        self.guard
    }

    /// Seconds of processor time of the webhook, of this program, and of everything else on the machine since then, and how long that was.
    pub fn since(&self, before: &Self) -> Used {
        let (guard, own) = (self.guard - before.guard, self.own - before.own);
        Used { guard, own, others: (self.all - before.all - guard - own).max(0.0), time: self.at - before.at }
    }
}

/// Seconds of processor time.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Of the webhook.
    pub guard: f64,
    /// Of this program.
    pub own: f64,
    /// Of everything else.
    pub others: f64,
    /// In so much time.
    pub time: Duration,
}

/// Linux counts processor time in hundredths of a second, on every machine that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

fn of_process(id: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name before may have blanks in it.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// All but idle and waiting.
fn of_machine() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8).filter_map(|ticks| ticks.parse().ok()).collect();
    ticks.iter().enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, ticks)| ticks).sum::<f64>() / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "x_seconds_bucket{le=\"0.001\",gate=\"a\"} 1\nx_seconds_bucket{le=\"0.002\",gate=\"a\"} 1\nx_seconds_bucket{le=\"+Inf\",gate=\"a\"} 1\nx_seconds_sum{gate=\"a\"} 0.0005\n";
    const AFTER: &str = "x_seconds_bucket{le=\"0.001\",gate=\"a\"} 91\nx_seconds_bucket{le=\"0.002\",gate=\"a\"} 101\nx_seconds_bucket{le=\"+Inf\",gate=\"a\"} 101\n\
                         x_seconds_sum{gate=\"a\"} 0.0605\nx_seconds_bucket{le=\"0.001\",gate=\"b\"} 7\n";

    #[test]
    fn a_histogram_tells_what_came_between_two_looks() {
        let read = |text| Histogram::read(text, "x_seconds", "gate=\"a\"");
        let between = read(AFTER).since(&read(BEFORE));
        assert_eq!((between.count(), between.within(1.0), between.within(2.0)), (100.0, 0.9, 1.0));
        assert!((between.mean() - 0.6).abs() < 1e-9);
        assert!((between.quantile(0.95) - 1.5).abs() < 1e-9, "{}", between.quantile(0.95));
    }

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let id = std::process::id();
        let before = Busy::now(id);
        assert!(Memory::of(id).resident > 1.0 && high_water(id) >= Memory::of(id).anonymous);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(of_machine());
        }
        assert!(Busy::now(id).since(&before).own > 0.0);
    }
}
