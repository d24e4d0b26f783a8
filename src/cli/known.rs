//! What the catalogue knows of a version that the user named: what is not known is said, with what is nearest, and refused where nothing can be computed from it.

use anyhow::bail;

use milvus_guard::model::catalogue::{Catalogue, ChartStatus};
use milvus_guard::model::version::{ChartVersion, MilvusVersion};
use milvus_guard::policy::known::{milvus_versions, unknown_milvus};

use super::output;

/// Accepts a chart version that somebody named; says on standard error what is not known of it. `what` names it: `--before 4.2.50`.
///
/// # Errors
/// When neither its defaults nor those of a newer chart of its major are known.
pub(crate) fn chart(version: &ChartVersion, what: &str) -> anyhow::Result<()> {
    let catalogue = Catalogue::embedded();
    let nearest = nearest_charts(version);
    match catalogue.get(version) {
        Some(entry) if entry.has_defaults => match entry.status {
            ChartStatus::Published => {}
            ChartStatus::Retracted => output::warn(&format!("{what}: chart {version} was published and taken back; nearest published: {nearest}")),
            ChartStatus::TagOnly | ChartStatus::SourceOnly => {
                output::warn(&format!("{what}: chart {version} was never published, so no repository has it; nearest published: {nearest}"));
            }
        },
        Some(_) => bail!("{what}: chart {version} was never published, and its default values are not known; nearest published: {nearest}"),
        None if is_newer(version) => {
            output::warn(&format!("{what}: chart {version} is newer than this catalogue, which ends with {nearest}; its defaults are taken for it"))
        }
        None => bail!("{what}: no chart {version} is known (`milvus-lint catalogue list` prints all); nearest published: {nearest}"),
    }
    Ok(())
}

/// Says on standard error when a Milvus version of a known line is one that neither the catalogue nor the planner's table knows.
pub(crate) fn milvus(version: MilvusVersion, what: &str) {
    if let Some(words) = unknown_milvus(version) {
        output::warn(&format!("{what}: {words}"));
    }
}

/// The known lines next to a version of a line that is not known, in words.
pub(crate) fn nearest_lines(version: MilvusVersion) -> String {
    let known = milvus_versions();
    let below = known.iter().rfind(|known| **known < version);
    let above = known.iter().find(|known| **known > version);
    let words: Vec<String> = [below, above].into_iter().flatten().map(ToString::to_string).collect();
    format!("the nearest known {} {}", if words.len() == 1 { "is" } else { "are" }, words.join(" and "))
}

/// Whether a chart carries a Milvus version or the planner names it.
pub(crate) fn is_milvus(version: MilvusVersion) -> bool {
    milvus_versions().contains(&version)
}

/// A chart of the newest major, after the newest that is known.
fn is_newer(version: &ChartVersion) -> bool {
    Catalogue::embedded().newest().is_some_and(|newest| *version > newest.version && version.major() == newest.version.major())
}

/// For what is no chart version but a Milvus version: the charts that carry it, in words that go on after what was said.
pub(crate) fn carriers(text: &str) -> Option<String> {
    let milvus: MilvusVersion = text.parse().ok()?;
    let mut charts = Catalogue::embedded().charts_of(milvus);
    let (first, last) = (charts.next()?, charts.next_back());
    let to = last.map_or_else(String::new, |last| format!(" to {}", last.version));
    Some(format!("; {milvus} is a version of Milvus, which chart {}{to} installs by default", first.version))
}

/// The published charts below and above a version, in words.
pub(crate) fn nearest_charts(version: &ChartVersion) -> String {
    let catalogue = Catalogue::embedded();
    let below = catalogue.published().rfind(|entry| entry.version < *version);
    let above = catalogue.published().find(|entry| entry.version > *version);
    [below, above].into_iter().flatten().map(|entry| entry.version.to_string()).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use milvus_guard::policy::Policies;

    use super::*;

    #[test]
    fn a_chart_of_which_nothing_is_known_is_refused_with_what_is_nearest() {
        let refused = |text: &str| chart(&text.parse().unwrap(), "--chart").err().map(|error| error.to_string());
        for known in ["4.2.58", "4.2.50", "4.2.46", "5.0.22"] {
            assert_eq!(refused(known), None, "{known}");
        }
        insta::assert_snapshot!(refused("9.9.9").unwrap(), @"--chart: no chart 9.9.9 is known (`milvus-lint catalogue list` prints all); nearest published: 5.0.19");
        insta::assert_snapshot!(refused("4.1.99").unwrap(), @"--chart: no chart 4.1.99 is known (`milvus-lint catalogue list` prints all); nearest published: 4.1.36 and 4.2.0");
        insta::assert_snapshot!(refused("5.0.18").unwrap(), @"--chart: chart 5.0.18 was never published, and its default values are not known; nearest published: 5.0.17 and 5.0.19");
    }

    #[test]
    fn a_milvus_version_is_told_from_a_chart_version() {
        insta::assert_snapshot!(carriers("2.5.16").unwrap(), @"; 2.5.16 is a version of Milvus, which chart 4.2.58 installs by default");
        assert_eq!(carriers("9.9.9"), None);
    }

    #[test]
    fn what_is_advised_instead_of_a_bad_version_is_known() {
        let advised: Vec<MilvusVersion> = Policies::embedded().bad_versions().iter().map(|row| row.better.0).collect();
        assert!(advised.len() > 5);
        assert_eq!(advised.into_iter().filter(|version| !is_milvus(*version)).collect::<Vec<_>>(), []);
    }

    #[test]
    fn lines_that_are_not_known_have_neighbours() {
        assert_eq!(nearest_lines(MilvusVersion::new(9, 9, 9)), "the nearest known is 3.0.0");
        assert_eq!(nearest_lines(MilvusVersion::new(2, 7, 0)), "the nearest known are 2.6.20 and 3.0.0");
    }
}
