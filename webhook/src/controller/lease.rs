//! One controller works at a time, by a Lease. It only saves work: writes are refused where they are stale, whoever sends them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ReleaseKey;
use super::kept::name_of;

/// How long a holder that says nothing is waited for.
const LASTS: Duration = Duration::from_secs(15);

/// How often a holder speaks.
pub const EVERY: Duration = Duration::from_secs(4);

/// How often others look: one that ends gives it back.
const LOOK: Duration = Duration::from_secs(1);

/// Times that a Lease is tried to be given back.
const GIVINGS: usize = 3;

/// A Lease that is held, or waited for.
#[derive(Debug)]
pub struct Leadership {
    is_held: AtomicBool,
    taken: Notify,
    identity: String,
    keeping: Mutex<Option<Keeping>>,
}

/// The Lease that is asked for, and the task that does.
#[derive(Debug)]
struct Keeping {
    api: Api<Lease>,
    name: String,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Begins to ask for a Lease, which is made where it is missing.
    #[must_use]
    pub fn start(client: &Client, namespace: &str, name: &str, identity: String) -> Arc<Self> {
        let leadership = Arc::new(Self { is_held: AtomicBool::new(false), taken: Notify::new(), identity, keeping: Mutex::default() });
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(keep(api.clone(), name.to_owned(), Arc::clone(&leadership)));
        *leadership.keeping.lock().unwrap_or_else(PoisonError::into_inner) = Some(Keeping { api, name: name.to_owned(), task });
        leadership
    }

    /// One that is held for good: for a process that nobody competes with.
    #[must_use]
    pub fn alone() -> Arc<Self> {
        Arc::new(Self { is_held: AtomicBool::new(true), taken: Notify::new(), identity: String::new(), keeping: Mutex::default() })
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

    /// Asks for it no more, and gives it back where it is ours, so that the next one need not wait until it has run out. Nothing is to be written after that.
    pub async fn give_up(&self) {
        let Some((api, name)) = self.cease().await else { return };
        let was_held = self.is_held();
        self.set(false);
        if !was_held {
            return;
        }
        for _ in 0..GIVINGS {
            match give_back(&api, &name, &self.identity).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Ok(()) => return,
                Err(error) => return tracing::warn!(%error, "the lease was not given back, and runs out by itself"),
            }
        }
    }

    /// Asks for it no more, and deletes it where it is ours: one of a release that nobody else waits for.
    ///
    /// # Errors
    /// When the API server refused.
    pub async fn remove(&self) -> kube::Result<()> {
        let Some((api, name)) = self.cease().await else { return Ok(()) };
        self.set(false);
        let found = api.get_opt(&name).await?;
        let is_ours = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(&*self.identity);
        let Some(lease) = found.filter(is_ours) else { return Ok(()) };
        let preconditions = Some(Preconditions { uid: lease.uid(), resource_version: lease.resource_version() });
        match api.delete(&name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            // Somebody else has it by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Asks for it no more: whoever deletes it while it is asked for finds it made anew. What was asked for.
    async fn cease(&self) -> Option<(Api<Lease>, String)> {
        let Keeping { api, name, task } = self.keeping.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        task.abort();
        // What it is about to write is written, or never will be.
        let _ = task.await;
        Some((api, name))
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
#[derive(Debug)]
struct Sight {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    at: Instant,
}

impl Sight {
    const fn new(at: Instant) -> Self {
        Self { holder: None, renewed: None, at }
    }

    /// Looks at a Lease; who holds it, unless it has run out.
    fn holder(&mut self, held: &LeaseSpec, now: Instant) -> Option<&str> {
        if held.holder_identity != self.holder || held.renew_time != self.renewed {
            *self = Self { holder: held.holder_identity.clone(), renewed: held.renew_time.clone(), at: now };
        }
        let lasts = now.saturating_duration_since(self.at) < LASTS;
        self.holder.as_deref().filter(|holder| lasts && !holder.is_empty())
    }
}

/// Who carries upgrades out from elsewhere, with no guard installed when they began: each under the Lease of its release.
#[derive(Debug, Default)]
pub struct Others(Mutex<BTreeMap<ReleaseKey, Sight>>);

impl Others {
    /// Who acts on a release now, and keeps us from it. One that has not been seen before is given the time of a Lease.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn acting(&self, client: &Client, release: &ReleaseKey) -> kube::Result<Option<String>> {
        let api: Api<Lease> = Api::namespaced(client.clone(), &release.namespace);
        let found = api.get_opt(&name_of(&release.name)).await?;
        let mut sights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = found.and_then(|lease| lease.spec) else {
            sights.remove(release);
            return Ok(None);
        };
        let now = Instant::now();
        let sight = sights.entry(release.clone()).or_insert_with(|| Sight::new(now));
        Ok(sight.holder(&held, now).map(str::to_owned))
    }
}

async fn keep(api: Api<Lease>, name: String, leadership: Arc<Leadership>) {
    let mut sight = Sight::new(Instant::now());
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
        tokio::time::sleep(if leadership.is_held() { EVERY } else { LOOK }).await;
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
    let is_ours = held.holder_identity.as_deref() == Some(identity);
    if !is_ours && sight.holder(&held, Instant::now()).is_some() {
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

/// Leaves a Lease that is ours without a holder.
async fn give_back(api: &Api<Lease>, name: &str, identity: &str) -> kube::Result<()> {
    let Some(mut lease) = api.get_opt(name).await? else { return Ok(()) };
    let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(identity)) else { return Ok(()) };
    spec.holder_identity = None;
    api.replace(name, &PostParams::default(), &lease).await.map(drop)
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

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server that has one Lease at most.
    fn server(stored: &Arc<Mutex<Option<Value>>>) -> Client {
        let stored = Arc::clone(stored);
        let answer = move |request: Request<Body>| {
            let stored = Arc::clone(&stored);
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut lease = stored.lock().unwrap();
                match method {
                    Method::POST | Method::PUT => *lease = serde_json::from_slice(&body).ok(),
                    Method::DELETE => *lease = None,
                    _ => {}
                }
                let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
                let is_there = lease.is_some() || method == Method::DELETE;
                let told = lease.clone().unwrap_or(if is_there { json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}) } else { missing });
                let answer = Response::builder().status(if is_there { 200 } else { 404 });
                Ok::<_, std::convert::Infallible>(answer.body(Body::from(told.to_string().into_bytes())).unwrap())
            }
        };
        Client::new(tower::service_fn(answer), "db")
    }

    #[tokio::test]
    async fn a_lease_that_is_removed_is_not_made_anew_by_its_renewal() {
        let stored: Arc<Mutex<Option<Value>>> = Arc::default();
        let leadership = Leadership::start(&server(&stored), "db", "milvus-guard-upgrade-m", "laptop".into());
        while !leadership.is_held() {
            tokio::time::sleep(LOOK).await;
        }
        leadership.remove().await.unwrap();
        tokio::time::sleep(EVERY + LOOK).await;
        assert_eq!((stored.lock().unwrap().clone(), leadership.is_held()), (None, false));
        // One of somebody else's stays.
        let leadership = Leadership::start(&server(&stored), "db", "milvus-guard-upgrade-m", "laptop".into());
        while !leadership.is_held() {
            tokio::time::sleep(LOOK).await;
        }
        stored.lock().unwrap().as_mut().unwrap()["spec"]["holderIdentity"] = json!("another");
        leadership.remove().await.unwrap();
        assert!(stored.lock().unwrap().is_some());
    }

    #[test]
    fn a_holder_counts_until_it_has_said_nothing_for_as_long_as_a_lease_lasts_by_our_clock() {
        let start = Instant::now();
        let mut sight = Sight::new(start);
        // However old it says that it is.
        let said = |second: i64| LeaseSpec {
            holder_identity: Some("laptop".into()),
            renew_time: Some(MicroTime(Timestamp::from_second(second).unwrap())),
            ..LeaseSpec::default()
        };
        assert_eq!(sight.holder(&said(1), start), Some("laptop"));
        assert_eq!(sight.holder(&said(1), start + LASTS / 2), Some("laptop"));
        assert_eq!(sight.holder(&said(2), start + LASTS), Some("laptop"), "it spoke");
        assert_eq!(sight.holder(&said(2), start + LASTS * 2), None);
        assert_eq!(sight.holder(&LeaseSpec { holder_identity: None, ..said(3) }, start + LASTS * 2), None, "given back");
    }
}
