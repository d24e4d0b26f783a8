//! The names that the chart computes for its objects (`milvus.fullname`, `milvus.name`).

use crate::model::declaration::Form;
use crate::model::release::Release;
use crate::policy::condition::{ValuePath, ValueTree};
use crate::policy::evaluate::value_differs;
use crate::policy::facts::{self, Found};

const FULL: &str = "fullnameOverride";
const NAME: &str = "nameOverride";

/// The name from which all objects have theirs; nothing where the release's or the chart's name is not known.
pub(crate) fn fullname(release: &Release) -> Option<String> {
    if let Some(full) = text(release, FULL)? {
        return Some(cut(full));
    }
    let (name, release) = (chart(release)?, release.declaration.name.known()?);
    Some(if release.contains(name) { cut(release) } else { cut(&format!("{release}-{name}")) })
}

/// The label `app.kubernetes.io/name`.
pub(crate) fn label(release: &Release) -> Option<String> {
    chart(release).map(cut)
}

/// Whether one of the overrides differs, or the chart's name, where the release's name is not known.
pub(crate) fn overrides_differ(before: &Release, after: &Release) -> Option<bool> {
    let differs = |key: &str| value_differs(before, after, ValueTree::Effective, &ValuePath::from(key.to_owned()));
    let named = chart(before).zip(chart(after)).map(|(before, after)| before != after).or_else(|| differs(NAME));
    match (differs(FULL), named) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (full, name) => full.and(name),
    }
}

/// The chart's name, overridden or not. Below an umbrella chart Helm takes the dependency's alias for it.
fn chart(release: &Release) -> Option<&str> {
    match text(release, NAME)? {
        Some(name) => Some(name),
        None => match release.declaration.chart_alias() {
            None if release.declaration.identity.form == Form::Umbrella => None,
            alias => Some(alias.unwrap_or("milvus")),
        },
    }
}

/// A text that is set, or none; nothing at all where that is not known.
fn text<'a>(release: &'a Release, key: &str) -> Option<Option<&'a str>> {
    match facts::value(release, ValueTree::Effective, &ValuePath::from(key.to_owned())) {
        Found::Unknown => None,
        Found::Nothing => Some(None),
        Found::Entry(entry) => Some(entry.node.value.as_str().filter(|text| !text.is_empty())),
    }
}

/// As `trunc 63 | trimSuffix "-"`.
fn cut(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.strip_suffix('-').map_or_else(|| cut.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::catalogue::Catalogue;
    use crate::model::change::Environment;
    use crate::model::declaration::{Declaration, Lineage};
    use crate::model::place::{Fact, Origin, Place, Position};
    use crate::model::version::VersionSpec;

    fn release(umbrella: &str, name: Option<&str>) -> Release {
        let start = Position { line: 1, column: 1 };
        let mut declaration = Declaration::blank(Form::Umbrella, "app", Place { file: "Chart.yaml".into(), start, end: start });
        let origin = Origin::Given("test".into());
        declaration.chart.lineage = Lineage::Zilliztech;
        declaration.chart.version = Fact::Known(VersionSpec::parse("4.2.58"), origin.clone());
        declaration.umbrella = Some(umbrella.into());
        declaration.name = name.map_or(Fact::Absent, |name| Fact::Known(name.into(), origin));
        Release::resolve(Arc::new(declaration), None, &Environment::default(), Catalogue::embedded())
    }

    #[test]
    fn an_alias_is_the_name_of_the_chart() {
        assert_eq!(fullname(&release("app/vectordb", Some("prod"))).as_deref(), Some("prod-vectordb"));
        assert_eq!(fullname(&release("app/vectordb", Some("my-vectordb"))).as_deref(), Some("my-vectordb"));
        let differ = |before: &str, after: &str| overrides_differ(&release(before, None), &release(after, None));
        assert_eq!(differ("app/milvus", "app/vdb"), Some(true));
        assert_eq!(differ("app/vectordb", "app/vdb"), Some(true));
        assert_eq!(differ("app/vdb", "other/vdb"), Some(false));
    }
}
