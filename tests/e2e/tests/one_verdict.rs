//! One verdict: the linter on files, gate 1 under real Helm, gate 2 on objects and gate 3 on rendered manifests say the same of a change, but for
//! what a gate cannot see, which is listed.

mod columns;
mod declared;
mod differences;
mod gates;
mod linter;
mod objects;
mod settings;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::programs::say;
use milvus_guard_e2e::sandbox::Sandbox;
use milvus_guard_e2e::webhook::{Guard, Installed};

use crate::changes::{CASES, Case, State, case, state};
use columns::Column;
use settings::Setting;

/// Commands that run at once.
const AT_ONCE: usize = 4;

/// How the chart of Milvus is given to Helm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chart {
    /// As it is.
    Own,
    /// As the only dependency of another chart; values are the wrapper's own.
    Wrapped,
    /// The same under the alias `vec`; values are the user's.
    Aliased,
}

/// A change of the table.
struct Change {
    case: Case,
    release: &'static str,
    chart: Chart,
    /// `--reuse-values`.
    reuses: bool,
    /// Changes with the same word here have their releases in one namespace.
    together: &'static str,
}

impl Change {
    const fn of(case: Case) -> Self {
        Self { case, release: "vectors", chart: Chart::Own, reuses: false, together: "" }
    }

    /// What runs.
    fn before(&self) -> State {
        self.state(self.case.before)
    }

    /// What it becomes.
    fn after(&self) -> State {
        self.state(self.case.after)
    }

    fn state(&self, (chart, values): (&'static str, &'static str)) -> State {
        let is_early = ["3.0.", "3.1.", "3.2.", "3.3.0"].iter().any(|early| self.case.before.0.starts_with(early));
        state((chart, &format!("{values}{}", if is_early { NO_BUDGETS } else { "" })))
    }

    /// A name for folders and objects.
    fn slug(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let words: String = self.case.name.chars().map(plain).collect();
        words.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }
}

/// Pulsar 2 of the first charts has budgets in an API that Kubernetes no longer serves: nobody can install them unless they are switched off.
const NO_BUDGETS: &str =
    "; pulsar.zookeeper.pdb.usePolicy: false; pulsar.bookkeeper.pdb.usePolicy: false; pulsar.broker.pdb.usePolicy: false; pulsar.proxy.pdb.usePolicy: false";

/// What the six forms of the linter are compared by, and what only the way of installing makes.
fn changes() -> Vec<Change> {
    let mut all: Vec<Change> = CASES.iter().copied().map(Change::of).collect();
    let leap = |name, values| case(name, ("4.2.44", values), ("5.0.19", values), "MV205 E, MV506 W");
    all.extend([
        Change::of(leap("a name override", "nameOverride: vec")),
        Change::of(leap("another full name", "fullnameOverride: search-db")),
        Change { release: "my-milvus", ..Change::of(leap("a release named my-milvus", "")) },
        Change { release: "one", together: "two", ..Change::of(case("one of two releases in a namespace", ("5.0.17", ""), ("5.0.19", ""), "")) },
        Change { release: "two", together: "two", ..Change::of(leap("the other of two releases in a namespace", "")) },
        Change { chart: Chart::Wrapped, ..Change::of(leap("below a wrapper", "")) },
        Change {
            chart: Chart::Wrapped,
            ..Change::of(case("a queue that a wrapper changes", ("4.2.58", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.5.22; KAFKA"), "MV401 E, MV414 W"))
        },
        Change { chart: Chart::Aliased, ..Change::of(leap("below an alias", "")) },
        Change { chart: Chart::Aliased, ..Change::of(leap("below an alias, from a mirror that calls it otherwise", "image.all.repository: corp/vectordb")) },
        Change { chart: Chart::Aliased, ..Change::of(case("a patch below an alias", ("5.0.17", ""), ("5.0.19", ""), "")) },
        Change { reuses: true, ..Change::of(case("values are reused", ("4.1.24", ""), ("4.2.20", ""), "MV215 W")) },
        Change::of(case("a lower chart", ("5.0.19", "TAG: v2.6.16"), ("5.0.17", "TAG: v2.6.16"), "")),
        Change::of(case("2.3.10 to 2.5.22", ("4.1.24", "TAG: v2.3.10"), ("4.2.58", "TAG: v2.5.22; PULSAR2"), "MV218 I, MV305 W")),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_linter_and_all_gates_give_one_verdict() {
    let Some(plane) = ControlPlane::shared("one verdict").await else { return };
    let begin = std::time::Instant::now();
    let changes = changes();
    assert_eq!(changes.iter().map(Change::slug).collect::<BTreeSet<_>>().len(), changes.len());
    // They are built while releases are installed.
    let building = tokio::task::spawn_blocking(|| (milvus_guard_e2e::webhook::binary(), linter::binary()));
    crate::gitops::define(&Sandbox::on(plane, "kinds").await).await;
    let settings = Setting::prepare(plane, &changes).await;
    let before_guard = begin.elapsed();
    let (_, linter) = building.await.unwrap();
    let namespaces: Vec<&str> = settings.iter().flat_map(Setting::namespaces).collect();
    let guard = Installed::new(plane, "verdicts", 1, &namespaces, &[]).await;
    let asking = std::time::Instant::now();
    let jobs = settings.iter().flat_map(|setting| setting.changes.iter().map(move |at| (setting, *at)));
    let judged: Vec<(usize, gates::Judged)> =
        futures::stream::iter(jobs).map(async |(setting, at)| (at, gates::judge(setting, &changes[at]).await)).buffer_unordered(AT_ONCE).collect().await;
    let judged: BTreeMap<usize, gates::Judged> = judged.into_iter().collect();
    let gates_took = asking.elapsed();
    let read = linter::verdicts(&linter, &changes, &judged);
    let rows: Vec<table::Row> = changes.iter().enumerate().map(|(at, change)| table::Row::new(change, &read[at], &judged[&at])).collect();
    say(&table::shown(&rows));
    say(&format!(
        "{} changes on {} releases: {:.0} s until all ran, {:.0} s to ask all gates, {:.0} s in all, with building",
        changes.len(),
        settings.iter().map(Setting::releases).sum::<usize>(),
        before_guard.as_secs_f64(),
        gates_took.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    ));
    let wrong = differences::unlisted(&rows);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(rows.len() >= 40 && Column::ALL.iter().all(|column| rows.iter().filter(|row| row.told.contains_key(column)).count() >= 40));
    assert!(guard.replicas.iter().all(|replica| Guard::metric(replica, "milvus_guard_in_doubt_total", "") == 0.0));
}
