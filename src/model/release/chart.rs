//! Which chart a declaration means.

use std::sync::Arc;

use super::view::text_at;
use super::{ChartResolution, Release};
use crate::model::catalogue::{Catalogue, ChartEntry};
use crate::model::declaration::{Declaration, Form, Layer, Lineage, Operation};
use crate::model::place::Fact;
use crate::model::range::VersionRange;
use crate::model::version::{ChartVersion, ImageTag, VersionSpec};

/// Resolves the chart; with what is taken for granted, where nothing names the chart. `before` is the running release, whose chart stays when workloads are changed directly.
pub(super) fn resolve(declaration: &Declaration, before: Option<&Release>, catalogue: &Catalogue) -> (ChartResolution, Option<Arc<str>>) {
    let chart = &declaration.chart;
    if let (Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript, Fact::Absent, Some(before)) =
        (declaration.operation, &chart.version, before)
    {
        return (before.chart.clone(), before.chart_assumes.clone());
    }
    if let Some(reason) = foreign(chart.lineage) {
        return (ChartResolution::Unknown(reason.into()), None);
    }
    let resolution = match &chart.version {
        Fact::Unknown(reason, _) => unknown(reason),
        Fact::Known(spec, _) => with_lock(declaration, spec, catalogue),
        Fact::Absent if declaration.identity.form == Form::Values => return presumed(declaration, catalogue),
        Fact::Absent => match not_said(declaration) {
            Some(reason) => unknown(reason),
            None => unpinned(chart.lineage, catalogue),
        },
    };
    (resolution, None)
}

fn unknown(reason: &str) -> ChartResolution {
    ChartResolution::Unknown(reason.into())
}

/// Why the numbers of a chart of this lineage say nothing here.
fn foreign(lineage: Lineage) -> Option<&'static str> {
    match lineage {
        Lineage::Zilliztech | Lineage::Archived => None,
        Lineage::Bitnami => Some("Bitnami's chart has numbers and values of its own"),
        Lineage::Suse => Some("SUSE's repackaging of the chart has builds of its own"),
        Lineage::Operator => Some("the Milvus operator's charts have numbers of their own"),
        Lineage::Wrapper => Some("a wrapper chart's own version says nothing about the Milvus chart in it"),
        Lineage::Unknown => Some("it cannot be told where this chart comes from"),
    }
}

/// Why an absent version does not mean "the newest one".
fn not_said(declaration: &Declaration) -> Option<&'static str> {
    if declaration.chart.vendored.is_some() {
        return Some("the chart in the tree does not tell its version");
    }
    match (declaration.identity.form, declaration.operation) {
        (Form::Manifest, _) => Some("rendered manifests do not tell the chart version"),
        (Form::HelmRelease, _) => Some("the release does not tell its chart version"),
        (_, Operation::Rollback | Operation::Uninstall) => Some("the command names no chart"),
        (_, Operation::RepoAdd) => Some("the command names a repository only"),
        (_, Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript) => Some("the command changes workloads, not the chart"),
        _ => None,
    }
}

/// A lock that agrees decides what a range means.
fn with_lock(declaration: &Declaration, spec: &VersionSpec, catalogue: &Catalogue) -> ChartResolution {
    let locked = declaration.lock.as_ref().filter(|lock| !lock.disagrees).and_then(|lock| lock.version.known());
    match (spec, locked) {
        (VersionSpec::Exact(version), _) | (VersionSpec::Range(_), Some(version)) => exact(version, catalogue),
        (VersionSpec::Range(range), None) => ranged(range, declaration.chart.lineage, catalogue),
        (VersionSpec::Malformed(text), _) => unknown(&format!("`{text}` is not a chart version")),
    }
}

fn exact(version: &ChartVersion, catalogue: &Catalogue) -> ChartResolution {
    match (catalogue.get(version), catalogue.newest()) {
        (Some(entry), _) if entry.is_published() => ChartResolution::Known(version.clone()),
        (None, Some(newest)) if *version > newest.version => point(version, &catalogue.newest_of_major(version.major()).unwrap_or(newest).version),
        _ => ChartResolution::NotPublished(version.clone()),
    }
}

/// One version, judged as another.
fn point(version: &ChartVersion, judged_as: &ChartVersion) -> ChartResolution {
    let next = ChartVersion::new(version.major(), version.minor(), version.patch().saturating_add(1));
    ChartResolution::Interval { at_least: version.clone(), below: Some(next), judged_as: judged_as.clone() }
}

fn unpinned(lineage: Lineage, catalogue: &Catalogue) -> ChartResolution {
    match VersionRange::parse("*") {
        Ok(any) => ranged(&any, lineage, catalogue),
        Err(error) => unknown(&error.to_string()),
    }
}

fn ranged(range: &VersionRange, lineage: Lineage, catalogue: &Catalogue) -> ChartResolution {
    let newest = |archived: bool| catalogue.published().rev().find(|entry| (!archived || entry.archived) && range.admits(&entry.version));
    // Nothing is added to the archived repository any more: what it offers is known.
    if lineage == Lineage::Archived {
        return newest(true)
            .map_or_else(|| unknown(&format!("the archived repository has no chart `{range}`")), |entry| ChartResolution::Known(entry.version.clone()));
    }
    match (newest(false), catalogue.newest()) {
        (Some(entry), _) => ChartResolution::Interval { at_least: entry.version.clone(), below: range.below(), judged_as: entry.version.clone() },
        (None, Some(last)) if range.below().is_none_or(|below| below > last.version) => {
            ChartResolution::Interval { at_least: last.version.clone(), below: range.below(), judged_as: last.version.clone() }
        }
        _ => unknown(&format!("no published chart satisfies `{range}`")),
    }
}

/// A values file alone: the newest chart of the Milvus line that its image tag names, else the newest chart.
fn presumed(declaration: &Declaration, catalogue: &Catalogue) -> (ChartResolution, Option<Arc<str>>) {
    let tag = declaration.layers.iter().rev().find_map(|layer| match layer {
        Layer::Table { values, .. } => match text_at(values, "image.all.tag") {
            Fact::Known(text, _) => ImageTag::parse(&text).version(),
            Fact::Unknown(..) | Fact::Absent => None,
        },
        Layer::Set { .. } | Layer::Unseen { .. } => None,
    });
    let of_line: Option<&ChartEntry> = tag.and_then(|milvus| catalogue.newest_of_line(milvus.line()));
    match of_line.or_else(|| catalogue.newest()) {
        Some(entry) => {
            let assumes = format!("nothing here names the chart version: judged as {}", entry.version);
            (point(&entry.version, &entry.version), Some(assumes.into()))
        }
        None => (unknown("nothing here names the chart version"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::model::declaration::Lock;
    use crate::model::place::Origin;

    fn v(text: &str) -> ChartVersion {
        text.parse().unwrap()
    }

    fn resolved(declaration: &Declaration) -> ChartResolution {
        resolve(declaration, None, Catalogue::embedded()).0
    }

    fn of(version: &str) -> ChartResolution {
        resolved(&fixture::declaration(Some(version), "{}"))
    }

    fn interval(at_least: &str, below: Option<&str>, judged_as: &str) -> ChartResolution {
        ChartResolution::Interval { at_least: v(at_least), below: below.map(v), judged_as: v(judged_as) }
    }

    #[test]
    fn one_version_is_known_newer_than_the_catalogue_or_was_never_published() {
        assert_eq!(of("5.0.19"), ChartResolution::Known(v("5.0.19")));
        assert_eq!(of("v4.2.58"), ChartResolution::Known(v("4.2.58")));
        assert_eq!(of("5.0.22"), interval("5.0.22", Some("5.0.23"), "5.0.19"));
        assert_eq!(of("6.1.0"), interval("6.1.0", Some("6.1.1"), "5.0.19"));
        for never in ["4.2.46", "4.2.50", "5.0.18", "2.5.11", "4.2.99"] {
            assert_eq!(of(never), ChartResolution::NotPublished(v(never)), "{never}");
        }
        assert!(matches!(of("newest"), ChartResolution::Unknown(_)));
    }

    #[test]
    fn a_range_is_at_least_the_newest_that_it_admits() {
        assert_eq!(of("~> 4.1"), interval("4.1.36", Some("4.2.0"), "4.1.36"));
        assert_eq!(of("4.x"), interval("4.2.58", Some("5.0.0"), "4.2.58"));
        assert_eq!(of(">=4"), interval("5.0.19", None, "5.0.19"));
        assert_eq!(of("^6"), interval("5.0.19", Some("7.0.0"), "5.0.19"));
        assert!(matches!(of("1.5.x"), ChartResolution::Unknown(_)));
        assert_eq!(resolved(&fixture::declaration(None, "{}")), interval("5.0.19", None, "5.0.19"));
    }

    #[test]
    fn a_lock_decides_what_a_range_means_unless_it_disagrees() {
        let mut declaration = fixture::declaration(Some("^4.0.0"), "{}");
        declaration.lock = Some(Lock { version: Fact::Known(v("4.1.8"), Origin::Given("lock".into())), disagrees: false });
        assert_eq!(resolved(&declaration), ChartResolution::Known(v("4.1.8")));
        declaration.lock.as_mut().unwrap().disagrees = true;
        assert_eq!(resolved(&declaration), interval("4.2.58", Some("5.0.0"), "4.2.58"));
    }

    #[test]
    fn the_archived_repository_is_complete_and_foreign_charts_are_unknown() {
        let mut declaration = fixture::declaration(None, "{}");
        declaration.chart.lineage = Lineage::Archived;
        assert_eq!(resolved(&declaration), ChartResolution::Known(v("4.0.31")));
        for lineage in [Lineage::Bitnami, Lineage::Suse, Lineage::Operator, Lineage::Wrapper, Lineage::Unknown] {
            declaration.chart.lineage = lineage;
            assert!(matches!(resolved(&declaration), ChartResolution::Unknown(_)), "{lineage:?}");
        }
    }

    #[test]
    fn a_direct_change_keeps_the_chart_and_the_values() {
        let before = fixture::release("4.2.20", r#"{"queryNode":{"replicas":3}}"#);
        let mut patch = fixture::declaration(None, "{}");
        patch.operation = Operation::DirectChange;
        patch.image = Fact::Known("milvusdb/milvus:v2.4.17".into(), Origin::At(fixture::place()));
        let after = fixture::resolve(patch, Some(&before));
        assert_eq!((&after.chart, after.milvus.to_string().as_str(), after.component("querynode").unwrap().replicas), (&before.chart, "2.4.17", Some(3)));
    }

    #[test]
    fn a_values_file_alone_is_judged_by_the_line_of_its_image_and_says_so() {
        for (values, judged) in [(r#"{"image":{"all":{"tag":"v2.4.5"}}}"#, "4.2.25"), (r#"{"image":{"all":{"tag":"v2.5.10"}}}"#, "4.2.58"), ("{}", "5.0.19")] {
            let mut declaration = fixture::declaration(None, values);
            declaration.identity.form = Form::Values;
            let (chart, assumes) = resolve(&declaration, None, Catalogue::embedded());
            assert_eq!(chart.judged_as(), Some(&v(judged)), "{values}");
            assert!(assumes.is_some_and(|text| text.contains(judged)));
        }
    }
}
