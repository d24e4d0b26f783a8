//! Runs rounds: one at a time for each release, when something of it moved or when it asked to be looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use super::ReleaseKey;
use super::caches::Caches;
use super::elsewhere::Elsewhere;
use super::excepted::Excepted;
use super::kept::Kept;
use super::lease::Leadership;
use super::metrics::Metrics;
use super::round::{Again, Work, wall_clock};

/// Rounds at a time.
const AT_ONCE: usize = 8;

/// What moves together is looked at together.
const SETTLE: Duration = Duration::from_millis(20);

/// How long rounds under way are waited for at the end.
const FINISH: Duration = Duration::from_secs(5);

/// The shortest and the longest wait after an error.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// What upgrades are carried out with.
pub struct Controller {
    /// Who reads and writes.
    pub client: Client,
    /// Where; in all namespaces where there are none.
    pub namespaces: Vec<String>,
    /// Our own image, for the Jobs of a migration.
    pub image: Option<String>,
    /// Whether it is its turn.
    pub leadership: Arc<Leadership>,
    /// What namespaces waive; somebody else keeps it up to date.
    pub excepted: Arc<Excepted>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Runs until `end` resolves.
pub async fn run(controller: Controller, on_start: impl FnOnce(Arc<Caches>), end: impl Future<Output = ()>) {
    let Controller { client, namespaces, image, leadership, excepted, metrics } = controller;
    let (moved, events) = unbounded_channel();
    let caches = Caches::start(&client, namespaces, &moved);
    on_start(Arc::clone(&caches));
    let recorder = Recorder::new(client.clone(), Reporter { controller: "milvus-guard-controller".into(), instance: None });
    let leads = Arc::clone(&leadership);
    let work = Work {
        client,
        caches,
        recorder,
        revisions: Arc::default(),
        others: Arc::default(),
        excepted: Some(Arc::clone(&excepted)),
        elsewhere: Arc::default(),
        metrics,
        kept: Kept::AsObjects,
        image: image.map(Arc::from),
        may_write: Arc::new(move || leads.is_held()),
        heeds_helm: true,
        clock: Arc::new(wall_clock),
    };
    let queue = Queue { work, leadership: Arc::clone(&leadership), excepted, due: BTreeMap::new(), running: BTreeSet::new(), failures: BTreeMap::new() };
    queue.serve(events, end).await;
    leadership.give_up().await;
}

struct Queue {
    work: Work,
    leadership: Arc<Leadership>,
    excepted: Arc<Excepted>,
    due: BTreeMap<ReleaseKey, Instant>,
    running: BTreeSet<ReleaseKey>,
    failures: BTreeMap<ReleaseKey, u32>,
}

impl Queue {
    /// Until `end`; then what was begun comes to its end, too.
    async fn serve(mut self, mut events: UnboundedReceiver<ReleaseKey>, end: impl Future<Output = ()>) {
        let mut rounds: JoinSet<(ReleaseKey, anyhow::Result<Again>)> = JoinSet::new();
        let mut end = std::pin::pin!(end);
        while !self.work.caches.are_filled() {
            tokio::select! {
                () = tokio::time::sleep(SETTLE) => {}
                () = &mut end => return,
            }
        }
        tracing::info!("caches are filled");
        self.all();
        loop {
            self.start(&mut rounds);
            let next = self.next();
            tokio::select! {
                Some(key) = events.recv() => {
                    // All that moved, before any of it is looked at: a first listing tells of each object.
                    let when = Instant::now() + SETTLE;
                    self.at(key, when);
                    while let Ok(key) = events.try_recv() {
                        self.at(key, when);
                    }
                }
                Some(ended) = rounds.join_next(), if !rounds.is_empty() => self.ended(ended),
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.leadership.taken() => self.all(),
                // Its place is another one's meanwhile.
                () = self.work.elsewhere.began() => {}
                // What is blocked may pass now.
                () = self.excepted.moved() => self.all(),
                () = &mut end => break,
            }
        }
        let _ = tokio::time::timeout(FINISH, async { while rounds.join_next().await.is_some() {} }).await;
    }

    /// Everything is looked at.
    fn all(&mut self) {
        for key in self.work.caches.releases() {
            self.at(key, Instant::now());
        }
    }

    fn at(&mut self, key: ReleaseKey, when: Instant) {
        let due = self.due.entry(key).or_insert(when);
        *due = (*due).min(when);
    }

    /// When the next release is due that may be looked at.
    fn next(&self) -> Instant {
        let idle = Instant::now() + Duration::from_secs(3600);
        if room(self.running.len(), &self.work.elsewhere) == 0 {
            return idle;
        }
        self.due.iter().filter(|(key, _)| !self.running.contains(*key)).map(|(_, due)| *due).min().unwrap_or(idle)
    }

    fn start(&mut self, rounds: &mut JoinSet<(ReleaseKey, anyhow::Result<Again>)>) {
        let now = Instant::now();
        if !self.leadership.is_held() {
            // Whoever leads looks; when that is us, all are looked at.
            self.due.retain(|_, due| *due > now);
            return;
        }
        for key in first(&self.due, &self.running, now, room(self.running.len(), &self.work.elsewhere)) {
            self.due.remove(&key);
            self.running.insert(key.clone());
            let work = self.work.clone();
            rounds.spawn(async move {
                let begin = Instant::now();
                let ended = work.round(&key).await;
                work.metrics.round(ended.is_ok(), begin.elapsed());
                (key, ended)
            });
        }
    }

    fn ended(&mut self, ended: Result<(ReleaseKey, anyhow::Result<Again>), tokio::task::JoinError>) {
        let (key, result) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A bug; whose round it was is not told, so all are looked at again.
                tracing::error!(%error, "a round broke off");
                self.running.clear();
                self.all();
                return;
            }
        };
        self.running.remove(&key);
        match result {
            Ok(again) => {
                self.failures.remove(&key);
                if let Again::After(after) = again {
                    self.at(key, Instant::now() + after.max(Duration::from_millis(1)));
                }
            }
            Err(error) => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = backoff(*failures);
                tracing::warn!(release = %key, error = format!("{error:#}"), failures, "a round failed and is tried again");
                self.at(key, Instant::now() + wait);
            }
        }
    }
}

/// How many rounds may begin: those that wait elsewhere take no place.
fn room(running: usize, elsewhere: &Elsewhere) -> usize {
    (AT_ONCE + elsewhere.waiting()).saturating_sub(running)
}

/// The releases that have their turn now, `most` of them: those that are due the longest, whatever their names.
fn first(due: &BTreeMap<ReleaseKey, Instant>, running: &BTreeSet<ReleaseKey>, now: Instant, most: usize) -> Vec<ReleaseKey> {
    if most == 0 {
        return Vec::new();
    }
    let mut ready: Vec<(Instant, &ReleaseKey)> =
        due.iter().filter(|(key, due)| **due <= now && !running.contains(*key)).map(|(key, due)| (*due, key)).collect();
    ready.sort_unstable();
    ready.into_iter().take(most).map(|(_, key)| key.clone()).collect()
}

/// Doubles with each failure, with up to a half more at random, so that many do not come together.
fn backoff(failures: u32) -> Duration {
    let (shortest, longest) = BACKOFF;
    let base = shortest.saturating_mul(1 << failures.saturating_sub(1).min(12)).min(longest);
    let chance = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos() % 1000);
    base + base.mul_f64(f64::from(chance) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_the_longest_has_its_turn_first_whatever_its_name() {
        let key = |name: &str| ReleaseKey { namespace: "db".into(), name: name.into() };
        let now = Instant::now();
        let ago = |milliseconds: u64| now.checked_sub(Duration::from_millis(milliseconds)).unwrap();
        let due =
            BTreeMap::from([(key("a"), ago(1)), (key("b"), ago(30)), (key("c"), now + Duration::from_millis(1)), (key("d"), ago(40)), (key("e"), ago(20))]);
        let running = BTreeSet::from([key("d")]);
        assert_eq!(first(&due, &running, now, 2), [key("b"), key("e")]);
        assert_eq!(first(&due, &running, now, 9), [key("b"), key("e"), key("a")], "what is not due yet or has its turn is left out");
        assert_eq!(first(&due, &running, now, 0), []);
    }

    #[tokio::test]
    async fn releases_whose_etcd_gives_no_answer_leave_their_places_to_others() {
        let elsewhere = Elsewhere::default();
        assert_eq!((room(0, &elsewhere), room(AT_ONCE, &elsewhere)), (AT_ONCE, 0));
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE {
            silent.push(elsewhere.begin().await);
        }
        assert_eq!(room(AT_ONCE, &elsewhere), AT_ONCE);
        silent.truncate(1);
        assert_eq!((room(AT_ONCE, &elsewhere), room(2 * AT_ONCE, &elsewhere)), (1, 0), "those that came back are brought to their end");
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        for failures in 1..40 {
            let wait = backoff(failures);
            assert!(wait >= BACKOFF.0 && wait <= BACKOFF.1.mul_f64(1.5), "{failures}: {wait:?}");
        }
        assert!(backoff(9) > backoff(1) * 10);
    }
}
