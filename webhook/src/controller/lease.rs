//! One controller works at a time, by a Lease. It only saves work: writes are refused where they are stale, whoever sends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;

/// How long a holder that says nothing is waited for.
const LASTS: Duration = Duration::from_secs(15);

/// How often a holder speaks, and others look.
const EVERY: Duration = Duration::from_secs(4);

/// A Lease that is held, or waited for.
#[derive(Debug)]
pub struct Leadership {
    is_held: AtomicBool,
    taken: Notify,
    identity: String,
}

impl Leadership {
    /// Begins to ask for a Lease, which is made where it is missing.
    #[must_use]
    pub fn start(client: &Client, namespace: &str, name: &str, identity: String) -> Arc<Self> {
        let leadership = Arc::new(Self { is_held: AtomicBool::new(false), taken: Notify::new(), identity });
        tokio::spawn(keep(Api::namespaced(client.clone(), namespace), name.to_owned(), Arc::clone(&leadership)));
        leadership
    }

    /// One that is held for good: for a process that nobody competes with.
    #[must_use]
    pub fn alone() -> Arc<Self> {
        Arc::new(Self { is_held: AtomicBool::new(true), taken: Notify::new(), identity: String::new() })
    }

    /// Whether it is ours now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    /// Waits until it becomes ours the next time.
    pub async fn taken(&self) {
        self.taken.notified().await;
    }

    fn set(&self, held: bool) {
        if self.is_held.swap(held, Ordering::AcqRel) == held {
            return;
        }
        if held {
            tracing::info!(identity = %self.identity, "this controller leads");
            self.taken.notify_waiters();
        } else {
            tracing::warn!(identity = %self.identity, "this controller does not lead any more");
        }
    }
}

/// What was last seen of the holder, and when by our own clock: clocks of others do not count.
struct Sight {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    at: Instant,
}

async fn keep(api: Api<Lease>, name: String, leadership: Arc<Leadership>) {
    let mut sight = Sight { holder: None, renewed: None, at: Instant::now() };
    let mut spoken = Instant::now();
    loop {
        match attempt(&api, &name, &leadership.identity, &mut sight).await {
            Ok(true) => {
                spoken = Instant::now();
                leadership.set(true);
            }
            Ok(false) => leadership.set(false),
            Err(error) => {
                // Others take it from us when it has run out; by then we have let go.
                if spoken.elapsed() + EVERY >= LASTS {
                    leadership.set(false);
                }
                tracing::debug!(%error, "the lease could not be renewed");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Makes, renews or takes the Lease; whether it is ours.
async fn attempt(api: &Api<Lease>, name: &str, identity: &str, sight: &mut Sight) -> kube::Result<bool> {
    let now = MicroTime(Timestamp::now());
    let Some(lease) = api.get_opt(name).await? else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec(identity, now, 0)) };
        return taken(api.create(&PostParams::default(), &lease).await);
    };
    let held = lease.spec.clone().unwrap_or_default();
    if held.holder_identity != sight.holder || held.renew_time != sight.renewed {
        *sight = Sight { holder: held.holder_identity.clone(), renewed: held.renew_time.clone(), at: Instant::now() };
    }
    let is_ours = held.holder_identity.as_deref() == Some(identity);
    let has_run_out = held.holder_identity.as_deref().is_none_or(str::is_empty) || sight.at.elapsed() >= LASTS;
    if !is_ours && !has_run_out {
        return Ok(false);
    }
    let transitions = held.lease_transitions.unwrap_or_default() + i32::from(!is_ours);
    let mut spec = spec(identity, now, transitions);
    if is_ours {
        spec.acquire_time = held.acquire_time;
    }
    let renewed = Lease { metadata: lease.metadata.clone(), spec: Some(spec) };
    taken(api.replace(&lease.name_any(), &PostParams::default(), &renewed).await)
}

fn spec(identity: &str, now: MicroTime, transitions: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    }
}

/// Somebody else was faster: it is not ours.
fn taken(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
