//! What is counted and measured, and how it is written for Prometheus (OpenMetrics text).

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admission::{Answer, Doubt, Gate, Operation};

/// Kinds with a series of their own; a stranger cannot make more.
const KINDS: [&str; 13] = [
    "Secret",
    "ConfigMap",
    "HelmRelease",
    "Application",
    "ApplicationSet",
    "HelmChart",
    "Deployment",
    "StatefulSet",
    "Scale",
    "PersistentVolumeClaim",
    "Job",
    "GuardedUpgrade",
    "UpgradeReceipt",
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    gate: &'static str,
    kind: &'static str,
    operation: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    gate: &'static str,
    rule: String,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GateLabels {
    gate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoubtLabels {
    gate: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

/// All metrics of the webhook. Shared: the server counts reviews, the gates tell of remote reads, holds and decode failures.
pub struct Telemetry {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    handler_seconds: Family<GateLabels, Histogram, fn() -> Histogram>,
    remote_read_seconds: Histogram,
    decode_failures: Family<GateLabels, Counter>,
    in_doubt: Family<DoubtLabels, Counter>,
    shed: Counter,
    break_glass: Family<GateLabels, Counter>,
    holds_open: Family<NamespaceLabels, Gauge<i64, AtomicI64>>,
    certificate_expiry: Gauge<f64, AtomicU64>,
    registered: Gauge<i64, AtomicI64>,
}

/// A registry of ours, which tells the program's version.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::with_prefix("milvus_guard");
    registry.register("build", "Version of this program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry
}

/// What a registry holds, as OpenMetrics text.
pub(crate) fn encoded(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = encode(&mut text, registry);
    text
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

fn handler_buckets() -> Histogram {
    Histogram::new([0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.015, 0.05, 0.25, 1.0, 5.0])
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = registry();
        let this = Self {
            reviews: Family::default(),
            findings: Family::default(),
            handler_seconds: Family::new_with_constructor(handler_buckets as fn() -> Histogram),
            remote_read_seconds: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]),
            decode_failures: Family::default(),
            in_doubt: Family::default(),
            shed: Counter::default(),
            break_glass: Family::default(),
            holds_open: Family::default(),
            certificate_expiry: Gauge::default(),
            registered: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("reviews", "Admission reviews answered", this.reviews.clone());
        registry.register("findings", "Findings behind the answers, by rule", this.findings.clone());
        registry.register_with_unit(
            "handler",
            "From the whole body to the answer, without the time of reads of the API server",
            Unit::Seconds,
            this.handler_seconds.clone(),
        );
        registry.register_with_unit("remote_read", "One read of the API server during a review", Unit::Seconds, this.remote_read_seconds.clone());
        registry.register("decode_failures", "Bodies and releases that could not be read", this.decode_failures.clone());
        registry.register("in_doubt", "Reviews answered without a verdict", this.in_doubt.clone());
        registry.register("shed", "Requests answered with 429 because too many were in flight", this.shed.clone());
        registry.register("break_glass", "Refusals set aside by a break-glass annotation", this.break_glass.clone());
        registry.register("holds_open", "Workloads held now", this.holds_open.clone());
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the serving certificate ends (Unix time)",
            Unit::Seconds,
            this.certificate_expiry.clone(),
        );
        registry.register("registered", "1 once this replica has seen its registration at the API server", this.registered.clone());
        Self { registry, ..this }
    }
}

impl Telemetry {
    /// One answered review. `kind` is the object's; `took` is the handler's time.
    pub fn review(&self, gate: Gate, kind: &str, operation: Operation, answer: &Answer, took: Duration) {
        let verdict = verdict(answer);
        let kind = KINDS.iter().find(|known| **known == kind).copied().unwrap_or("other");
        self.reviews.get_or_create(&ReviewLabels { gate: gate.name(), kind, operation: operation_name(operation), verdict }).inc();
        for cause in &answer.causes {
            self.findings.get_or_create(&FindingLabels { gate: gate.name(), rule: cause.rule.clone(), verdict }).inc();
        }
        self.handler_seconds.get_or_create(&GateLabels { gate: gate.name() }).observe(took.as_secs_f64());
    }

    /// A read of the API server during a review.
    pub fn remote_read(&self, took: Duration) {
        self.remote_read_seconds.observe(took.as_secs_f64());
    }

    /// A body, or a release in it, that could not be read.
    pub fn decode_failed(&self, gate: Gate) {
        self.decode_failures.get_or_create(&GateLabels { gate: gate.name() }).inc();
    }

    /// A review answered by the doubt policy.
    pub fn doubted(&self, gate: Gate, doubt: Doubt) {
        self.in_doubt.get_or_create(&DoubtLabels { gate: gate.name(), reason: doubt.name() }).inc();
    }

    /// A request turned away with 429.
    pub fn shed(&self) {
        self.shed.inc();
    }

    /// A refusal set aside by the break-glass annotation.
    pub fn break_glass(&self, gate: Gate) {
        self.break_glass.get_or_create(&GateLabels { gate: gate.name() }).inc();
    }

    /// Workloads held in a namespace, as the cache sees them.
    pub fn holds_open(&self, namespace: &str, count: i64) {
        let labels = NamespaceLabels { namespace: namespace.to_owned() };
        if count == 0 {
            // Namespaces come and go; only those with holds have a series.
            self.holds_open.remove(&labels);
        } else {
            self.holds_open.get_or_create(&labels).set(count);
        }
    }

    /// End of the serving certificate, in seconds of Unix time.
    #[allow(clippy::cast_precision_loss, reason = "seconds of Unix time fit a double exactly")]
    pub fn certificate_ends(&self, unix_seconds: i64) {
        self.certificate_expiry.set(unix_seconds as f64);
    }

    /// Whether the registration at the API server is as it has to be.
    pub fn registered(&self, yes: bool) {
        self.registered.set(i64::from(yes));
    }

    /// All of it as OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        encoded(&self.registry)
    }
}

fn verdict(answer: &Answer) -> &'static str {
    if !answer.is_admitted() {
        "refused"
    } else if !answer.patch.0.is_empty() {
        "patched"
    } else if !answer.warnings.is_empty() {
        "warned"
    } else {
        "admitted"
    }
}

const fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}
