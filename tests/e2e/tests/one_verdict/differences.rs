//! What a gate says otherwise, and why: a list that has to be true in both directions.

use std::collections::BTreeSet;

use super::columns::{Column, Verdict};
use super::table::Row;

/// Where somebody rightly says something else than its reference.
struct Difference {
    by: &'static [Column],
    /// Of the changes named; of all in which the reference says it, where none is named.
    of: &'static [&'static str],
    /// What the reference says, `MV205 E`.
    instead_of: &'static [&'static str],
    /// What is said in its place.
    says: &'static [&'static str],
    reason: &'static str,
}

const NO_VALUES: &str = "rendered objects tell image, components, kind of queue and APIs, and neither values nor where they come from";
const AS_AN_INSTALL: &str =
    "what is rendered away from the cluster is rendered as an install: the init Jobs of Pulsar run, and only the queue itself is another one";
const NO_LOOK_UP: &str = "what is rendered away from the cluster cannot look at the live Deployment: the queue is switched for certain";
const MOUNTED: &str = "the gate compares the files that pods mount, and those that serve have";
const NOTHING_ARRIVES: &str = "a workload that goes, or goes down to no replicas, is never held";
const APPLIED: &[Column] = &[Column::Applied];
const HELMS: &[Column] = &[Column::Helm3, Column::Helm4];

const fn differs(
    by: &'static [Column],
    of: &'static [&'static str],
    instead_of: &'static [&'static str],
    says: &'static [&'static str],
    reason: &'static str,
) -> Difference {
    Difference { by, of, instead_of, says, reason }
}

const DIFFERENCES: &[Difference] = &[
    // The linter on other forms
    differs(&[Column::ApplicationFile, Column::ManifestFile], &["Kafka to the chart's Pulsar 3"], &["MV404 E"], &["MV401 E"], AS_AN_INSTALL),
    differs(&[Column::ApplicationFile], &["a Pulsar elsewhere to the chart's own"], &["MV404 E"], &["MV413 E"], AS_AN_INSTALL),
    differs(&[Column::ApplicationFile], &["a standalone that leaves its queue open"], &["MV406 W"], &["MV406 E"], NO_LOOK_UP),
    differs(&[Column::ManifestFile], &["a standalone that leaves its queue open"], &["MV406 W"], &["MV401 E"], NO_LOOK_UP),
    differs(
        &[Column::ManifestFile],
        &["a Pulsar elsewhere to the chart's own"],
        &["MV404 E"],
        &[],
        "rendered objects tell the kind of queue, and not whose it is",
    ),
    differs(&[Column::ManifestFile], &["no queue at all"], &["MV410 E"], &["MV401 E"], "the chart renders its last choice of a queue where none is chosen"),
    differs(
        &[Column::ManifestFile],
        &["the word on the mode is lost"],
        &["MV214 E"],
        &["MV213 E"],
        "rendered objects tell the mode, and not which word was lost",
    ),
    differs(
        &[Column::ManifestFile],
        &[],
        &[
            "MV114 E", "MV303 E", "MV305 W", "MV402 E", "MV403 E", "MV405 E", "MV408 W", "MV409 E", "MV413 E", "MV413 W", "MV414 W", "MV416 W", "MV501 E",
            "MV502 E", "MV503 E", "MV506 W", "MV508 E", "MV508 W", "MV509 E", "MV510 E", "MV511 W", "MV513 E", "MV514 E", "MV601 E", "MV601 W", "MV602 W",
            "MV603 W", "MV605 E", "MV607 W", "MV608 W",
        ],
        &[],
        NO_VALUES,
    ),
    // Gate 1
    differs(
        HELMS,
        &["2.2.9 to 2.4.24", "2.2.16 to 2.4.24", "the default of coordinators flips", "2.3.10 to 2.5.22", "separate coordinators are asked for"],
        &[],
        &["MV711 E"],
        "only the cluster tells that coordinators run which Helm deletes while the one that replaces them is still held",
    ),
    differs(
        HELMS,
        &["2.5.22 to 2.6.16", "a better target is known"],
        &[],
        &["MV711 W"],
        "only the cluster tells that index nodes run which Helm deletes while all else is still held",
    ),
    // Gate 2
    differs(&[Column::HelmRelease], &["values are reused"], &["MV108 E"], &["MV108 W"], "gate 1 stands behind it and sees what the values become"),
    // Gate 3
    differs(
        APPLIED,
        &[],
        &["MV204 W", "MV209 W", "MV210 W", "MV212 W", "MV216 W", "MV219 W", "MV222 W"],
        &[],
        "a hold names what keeps it from being released, which no warning does",
    ),
    differs(
        APPLIED,
        &["2.5.22 to 2.6.16", "a better target is known"],
        &[],
        &["MV210 E"],
        "what has no way back waits until a person declares it, which files cannot",
    ),
    differs(APPLIED, &["another prefix of channels"], &[], &["MV413 E"], MOUNTED),
    differs(APPLIED, &["another root of metadata", "another etcd"], &[], &["MV501 E"], MOUNTED),
    differs(APPLIED, &["another bucket"], &[], &["MV502 E"], MOUNTED),
    differs(APPLIED, &["no streaming node"], &["MV207 E"], &[], NOTHING_ARRIVES),
    differs(APPLIED, &["no query node is left", "the proxy is switched off"], &["MV309 E"], &[], NOTHING_ARRIVES),
    differs(APPLIED, &["both kinds of coordinators"], &["MV304 E"], &[], "nobody knows yet whether the other coordinators stay"),
    differs(APPLIED, &["a lower chart"], &["MV110 E"], &[], "the same image with the same data waits for nothing"),
    differs(APPLIED, &["another name of everything"], &[], &["MV704 E"], "a Milvus of another name is a new one, over the data of the release"),
    differs(APPLIED, &["a unit that is none"], &[], &["not asked"], "the API server refuses the quantity itself"),
];

/// All that is not as it should be: differences that are not listed, and listed ones that are gone.
pub(super) fn unlisted(rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for row in rows {
        wrong.extend(linter_differs(row));
        for column in Column::ALL {
            let (Some(said), Some(reference)) = (row.of(column), column.reference().and_then(|reference| row.of(reference))) else { continue };
            let (wanted, applied) = with_differences(reference, column, row.name);
            used.extend(applied);
            if *said != wanted {
                let only = |one: &Verdict, other: &Verdict| one.difference(other).cloned().collect::<Vec<_>>().join(", ");
                let (more, less) = (only(said, &wanted), only(&wanted, said));
                wrong.push(format!("{}: {} says [{more}] where [{less}] is right, by {}", row.name, column.title(), column.reference().unwrap().title()));
            }
        }
    }
    for (at, difference) in DIFFERENCES.iter().enumerate() {
        assert!(!difference.reason.is_empty());
        let all: &[&str] = if difference.of.is_empty() { &["all changes"] } else { difference.of };
        let words: &[&str] = if difference.instead_of.is_empty() { &[""] } else { difference.instead_of };
        for (column, of) in difference.by.iter().flat_map(|column| all.iter().map(move |of| (column, of))) {
            let place = (!difference.of.is_empty()).then_some(*of);
            for word in words.iter().filter(|word| !used.contains(&(at, *column, place, **word))) {
                wrong.push(format!("listed, and no longer so: {} on {of} instead of [{word}] ({})", column.title(), difference.reason));
            }
        }
    }
    wrong
}

/// Which difference was needed by whom, of which named change, instead of which word.
type Use = (usize, Column, Option<&'static str>, &'static str);

fn with_differences(reference: &Verdict, column: Column, change: &str) -> (Verdict, Vec<Use>) {
    let mut wanted = reference.clone();
    let mut used = Vec::new();
    for (at, difference) in DIFFERENCES.iter().enumerate().filter(|(_, difference)| difference.by.contains(&column)) {
        let named = difference.of.iter().copied().find(|name| *name == change);
        if named.is_none() && !difference.of.is_empty() {
            continue;
        }
        let gone: Vec<&str> = difference.instead_of.iter().copied().filter(|word| reference.contains(*word)).collect();
        if gone.is_empty() && !difference.instead_of.is_empty() {
            continue;
        }
        wanted.retain(|word| !gone.contains(&word.as_str()));
        wanted.extend(difference.says.iter().map(|word| (*word).to_owned()));
        used.extend(
            difference.instead_of.iter().copied().filter(|word| gone.contains(word)).chain(gone.is_empty().then_some("")).map(|word| (at, column, named, word)),
        );
    }
    (wanted, used)
}

/// The program has to say what the table of changes expects, which the library says in six forms.
fn linter_differs(row: &Row) -> Option<String> {
    let of_releases = |word: &&String| ("MV2".."MV7").contains(&word.as_str());
    let said: Vec<&str> = row.all.iter().filter(of_releases).map(String::as_str).collect();
    let expected: Vec<&str> = row.expected.split(", ").filter(|word| !word.is_empty() && !word.ends_with(" I")).collect();
    (said != expected).then(|| format!("{}: milvus-lint says {said:?} instead of {expected:?}", row.name))
}
