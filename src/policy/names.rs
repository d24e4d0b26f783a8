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

/// Whether one of the overrides differs.
pub(crate) fn overrides_differ(before: &Release, after: &Release) -> Option<bool> {
    let differs = |key: &str| value_differs(before, after, ValueTree::Effective, &ValuePath::from(key.to_owned()));
    match (differs(FULL), differs(NAME)) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (full, name) => full.and(name),
    }
}

/// The chart's name, overridden or not. An umbrella may give it another by an alias.
fn chart(release: &Release) -> Option<&str> {
    match text(release, NAME)? {
        Some(name) => Some(name),
        None if release.declaration.identity.form == Form::Umbrella => None,
        None => Some("milvus"),
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
