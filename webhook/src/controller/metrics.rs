//! What the controller counts and measures, and how it is written for Prometheus (OpenMetrics text).

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use milvus_guard::rollout::Component;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::ReleaseKey;
use super::caches::Upgrade;
use super::observe::Seen;
use super::read_moment;
use super::status::{Line, Phase, Status};
use crate::telemetry::{encoded, registry};
use milvus_guard::rollout::observed::Hold;

/// Reasons that are an end, or a person's wish, and no failure.
const NO_FAILURES: [&str; 2] = ["Paused", "WentBack"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReleaseLabels {
    namespace: String,
    release: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    namespace: String,
    release: String,
    phase: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ComponentLabels {
    component: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// All metrics of the controller. Rounds tell what happens; what is so now is read from the caches when somebody asks.
pub struct Metrics {
    registry: Registry,
    reconcile_seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    component_seconds: Family<ComponentLabels, Histogram, fn() -> Histogram>,
    upgrade_seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    failures: Family<ReasonLabels, Counter>,
    now: Mutex<Now>,
}

/// What is so at the moment of a reading.
#[derive(Default, Clone)]
struct Now {
    phase: Family<PhaseLabels, Gauge<i64, AtomicI64>>,
    progress: Family<ReleaseLabels, Gauge<f64, AtomicU64>>,
    holds: Family<ReleaseLabels, Gauge<i64, AtomicI64>>,
    lease_held: Gauge<i64, AtomicI64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn rounds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0])
}

fn rollouts() -> Histogram {
    Histogram::new([5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = registry();
        let this = Self {
            reconcile_seconds: Family::new_with_constructor(rounds as fn() -> Histogram),
            component_seconds: Family::new_with_constructor(rollouts as fn() -> Histogram),
            upgrade_seconds: Family::new_with_constructor(rollouts as fn() -> Histogram),
            failures: Family::default(),
            now: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register_with_unit("reconcile", "One look at a release, with what was done", Unit::Seconds, this.reconcile_seconds.clone());
        registry.register_with_unit(
            "upgrade_component",
            "From the release of a component, or of a store or queue, until it was complete or removed",
            Unit::Seconds,
            this.component_seconds.clone(),
        );
        registry.register_with_unit("upgrade", "From the first component that was let go to the end", Unit::Seconds, this.upgrade_seconds.clone());
        registry.register("upgrade_failures", "Times that an upgrade came to wait for a person, by the reason of its condition Stalled", this.failures.clone());
        let now = this.now.lock().unwrap_or_else(PoisonError::into_inner).clone();
        registry.register("upgrade_phase", "1 for the phase that a GuardedUpgrade is in", now.phase.clone());
        registry.register_with_unit(
            "upgrade_progress_timestamp",
            "When an upgrade that is under way last moved (Unix time)",
            Unit::Seconds,
            now.progress.clone(),
        );
        registry.register("holds_waiting", "Workloads of a release that are held now", now.holds.clone());
        registry.register("lease_held", "1 for the controller that works; the others wait for the Lease", now.lease_held.clone());
        Self { registry, ..this }
    }
}

impl Metrics {
    /// One look at a release.
    pub fn round(&self, is_good: bool, took: Duration) {
        self.reconcile_seconds.get_or_create(&ResultLabels { result: if is_good { "ok" } else { "error" } }).observe(took.as_secs_f64());
    }

    /// A status that was written in the place of another.
    pub fn told(&self, before: &Status, after: &Status) {
        let had_ended = |line: &Line| before.components.iter().any(|known| known.name == line.name && known.finished_at == line.finished_at);
        for line in after.components.iter().filter(|line| !had_ended(line)) {
            if let Some(seconds) = between(line.started_at.as_deref(), line.finished_at.as_deref()) {
                let component = Component::named(&line.name).map_or("dependency", Component::name);
                self.component_seconds.get_or_create(&ComponentLabels { component }).observe(seconds);
            }
        }
        let result = if after.phase == Some(Phase::Aborted) { "aborted" } else { "completed" };
        if after.finished_at != before.finished_at
            && let Some(seconds) = between(after.started_at.as_deref(), after.finished_at.as_deref())
        {
            self.upgrade_seconds.get_or_create(&ResultLabels { result }).observe(seconds);
        }
        let stalled = |status: &Status| status.condition("Stalled").map(|condition| condition.reason.clone());
        if let Some(reason) = stalled(after).filter(|reason| stalled(before).as_ref() != Some(reason) && !NO_FAILURES.contains(&reason.as_str())) {
            self.failures.get_or_create(&ReasonLabels { reason }).inc();
        }
    }

    /// All of it as OpenMetrics text, with what is so now of these releases.
    #[must_use]
    pub fn text<'r>(&self, releases: impl IntoIterator<Item = &'r (ReleaseKey, Seen, Option<std::sync::Arc<Upgrade>>)>, leads: bool) -> String {
        // One reading at a time: each fills in anew what is so now.
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.phase.clear();
        now.progress.clear();
        now.holds.clear();
        now.lease_held.set(i64::from(leads));
        for (key, seen, upgrade) in releases {
            now.of(key, seen, upgrade.as_deref());
        }
        encoded(&self.registry)
    }
}

impl Now {
    fn of(&self, key: &ReleaseKey, seen: &Seen, upgrade: Option<&Upgrade>) {
        let labels = || ReleaseLabels { namespace: key.namespace.to_string(), release: key.name.to_string() };
        let stores = seen.stores.iter().filter(|store| store.hold == Hold::Held).count();
        let held = i64::try_from(seen.held().count() + stores).unwrap_or(i64::MAX);
        if held > 0 {
            self.holds.get_or_create(&labels()).set(held);
        }
        let Some(upgrade) = upgrade else { return };
        if let Some(phase) = &upgrade.phase {
            let ReleaseLabels { namespace, release } = labels();
            self.phase.get_or_create(&PhaseLabels { namespace, release, phase: phase.clone() }).set(1);
            let is_under_way = matches!(phase.as_str(), "Migrating" | "Running" | "RollingBack" | "Paused");
            if let Some(moved) = upgrade.progressed.filter(|_| is_under_way) {
                #[allow(clippy::cast_precision_loss, reason = "seconds of Unix time fit a double exactly")]
                self.progress.get_or_create(&labels()).set(moved.0 as f64);
            }
        }
    }
}

/// Seconds between two times as Kubernetes writes them.
fn between(from: Option<&str>, to: Option<&str>) -> Option<f64> {
    let (from, to) = (read_moment(from?)?, read_moment(to?)?);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52 seconds")]
    Some(to.since(from) as f64)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use milvus_guard::rollout::observed::Moment;

    use super::super::fixture::{MIX, hold, running, seen};
    use super::super::status::State;
    use super::*;

    fn key() -> ReleaseKey {
        ReleaseKey { namespace: "db".into(), name: "m".into() }
    }

    fn line(name: &str, finished_at: Option<&str>) -> Line {
        let started_at = Some("2026-11-21T20:00:00Z".to_owned());
        Line { name: name.into(), state: State::Released, message: None, before: None, started_at, finished_at: finished_at.map(str::to_owned), mark: None }
    }

    /// The value of a series.
    fn value<'t>(text: &'t str, series: &str) -> Option<&'t str> {
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }

    #[test]
    fn what_is_so_now_is_read_anew_each_time() {
        let metrics = Metrics::default();
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        let upgrade = |phase: &str| Some(Arc::new(Upgrade { phase: Some(phase.into()), progressed: Some(Moment(1_795_000_000)), ..Upgrade::default() }));
        let text = metrics.text([&(key(), seen(&objects), upgrade("Running"))], true);
        for (series, wanted) in [
            ("milvus_guard_upgrade_phase{namespace=\"db\",release=\"m\",phase=\"Running\"}", "1"),
            ("milvus_guard_upgrade_progress_timestamp_seconds{namespace=\"db\",release=\"m\"}", "1795000000.0"),
            ("milvus_guard_holds_waiting{namespace=\"db\",release=\"m\"}", "1"),
            ("milvus_guard_lease_held", "1"),
        ] {
            assert_eq!(value(&text, series), Some(wanted), "{series}\n{text}");
        }
        let text = metrics.text([&(key(), seen(&running(&MIX, "v2.5.22")), upgrade("Completed"))], false);
        assert!(value(&text, "milvus_guard_upgrade_phase{namespace=\"db\",release=\"m\",phase=\"Completed\"}").is_some());
        for gone in ["Running", "progress_timestamp_seconds{", "holds_waiting{"] {
            assert!(!text.contains(gone), "{gone}\n{text}");
        }
        assert_eq!(value(&text, "milvus_guard_lease_held"), Some("0"));
    }

    #[test]
    fn each_component_failure_and_end_counts_once() {
        let metrics = Metrics::default();
        let before = Status { components: vec![line("proxy", None), line("m-etcd", None)], ..Status::default() };
        let mut after = before.clone();
        after.components = vec![line("proxy", Some("2026-11-21T20:00:40Z")), line("m-etcd", Some("2026-11-21T20:00:03Z"))];
        (after.started_at, after.finished_at) = (Some("2026-11-21T19:59:00Z".into()), Some("2026-11-21T20:01:00Z".into()));
        after.phase = Some(Phase::Completed);
        metrics.told(&before, &after);
        metrics.told(&after, &after.clone());
        let mut stalled = after.clone();
        stalled.say("Stalled", "True", "PodsCrash", "why", Moment(0));
        metrics.told(&after, &stalled);
        metrics.told(&stalled, &stalled.clone());
        let mut paused = stalled.clone();
        paused.say("Stalled", "True", "Paused", "a person", Moment(0));
        metrics.told(&stalled, &paused);
        metrics.round(true, Duration::from_millis(7));
        metrics.round(false, Duration::from_millis(7));
        let text = metrics.text(&[], false);
        for (series, wanted) in [
            ("milvus_guard_upgrade_component_seconds_sum{component=\"proxy\"}", "40.0"),
            ("milvus_guard_upgrade_component_seconds_count{component=\"proxy\"}", "1"),
            ("milvus_guard_upgrade_component_seconds_sum{component=\"dependency\"}", "3.0"),
            ("milvus_guard_upgrade_seconds_sum{result=\"completed\"}", "120.0"),
            ("milvus_guard_upgrade_seconds_count{result=\"completed\"}", "1"),
            ("milvus_guard_upgrade_failures_total{reason=\"PodsCrash\"}", "1"),
            ("milvus_guard_reconcile_seconds_count{result=\"ok\"}", "1"),
            ("milvus_guard_reconcile_seconds_count{result=\"error\"}", "1"),
        ] {
            assert_eq!(value(&text, series), Some(wanted), "{series}\n{text}");
        }
        assert!(!text.contains("reason=\"Paused\""));
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
        use crate::admission::{Answer, Doubt, Gate, Operation};
        use crate::telemetry::Telemetry;
        let telemetry = Telemetry::default();
        telemetry.review(Gate::Workload, "Deployment", Operation::Create, &Answer::admitted(), Duration::ZERO);
        telemetry.remote_read(Duration::ZERO);
        telemetry.decode_failed(Gate::Workload);
        telemetry.doubted(Gate::Workload, Doubt::Budget);
        telemetry.shed();
        telemetry.break_glass(Gate::Workload);
        telemetry.holds_open("db", 1);
        let metrics = Metrics::default();
        let mut ended = Status { components: vec![line("proxy", Some("2026-11-21T20:00:40Z"))], ..Status::default() };
        (ended.started_at, ended.finished_at) = (ended.components[0].started_at.clone(), ended.components[0].finished_at.clone());
        ended.say("Stalled", "True", "PodsCrash", "why", Moment(0));
        metrics.told(&Status::default(), &ended);
        metrics.round(true, Duration::ZERO);
        let mut objects = running(&MIX, "v2.5.16");
        hold(&mut objects, "proxy", "v2.5.22");
        let upgrade = Arc::new(Upgrade { phase: Some("Running".into()), progressed: Some(Moment(1)), ..Upgrade::default() });
        let told = telemetry.text() + &metrics.text([&(key(), seen(&objects), Some(upgrade))], true);
        let charts =
            [include_str!("../../../charts/milvus-guard/templates/monitoring.yaml"), include_str!("../../../charts/milvus-guard/files/dashboard.json")];
        let mut asked = std::collections::BTreeSet::new();
        for text in charts {
            let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            asked.extend(text.split("milvus_guard_").skip(1).map(|rest| format!("milvus_guard_{}", rest.split(is_end).next().unwrap())));
        }
        // What rules are made from is in nobody's alert, but all that the controller measures is.
        for name in &asked {
            let is_told = told.lines().any(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])));
            let is_rule = name.starts_with("milvus_guard_findings");
            assert!(is_told || is_rule, "{name} is asked for, and told by nobody");
        }
        for line in metrics.text(&[], true).lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(name == "milvus_guard_build" || asked.iter().any(|asked| asked.starts_with(name)), "nobody looks at {name}");
        }
    }
}
