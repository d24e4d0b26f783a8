//! The Milvus image and the version in force.

use std::sync::Arc;

use super::ChartResolution;
use super::values::Values;
use super::view::text_at;
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Declaration, Form, Operation};
use crate::model::place::{Fact, Origin};
use crate::model::value::Node;
use crate::model::version::{EffectiveVersion, ImageTag};

const TAG: &str = "image.all.tag";
const REPOSITORY: &str = "image.all.repository";

/// What is known of the image.
#[derive(Debug)]
pub(super) struct Image {
    /// Version in force.
    pub milvus: EffectiveVersion,
    /// What is taken for granted about it.
    pub assumes: Option<Arc<str>>,
    /// The tag, where the user sets it.
    pub tag: Fact<Arc<str>>,
    /// The repository.
    pub repository: Option<Arc<str>>,
}

/// Finds the image. `chart_is_presumed`: nothing names the chart, so its default image says nothing.
pub(super) fn resolve(declaration: &Declaration, chart: &ChartResolution, chart_is_presumed: bool, values: &Values, catalogue: &Catalogue) -> Image {
    let named_by_itself = declaration.identity.form == Form::Manifest
        || matches!(declaration.operation, Operation::DirectChange | Operation::RollingScript | Operation::MigrateScript);
    if named_by_itself {
        return named(&declaration.image);
    }
    let by_chart = || if chart_is_presumed { unknown("nothing here names the chart version or the image tag") } else { by_chart(chart, values, catalogue) };
    let repository = known_text(&values.effective, REPOSITORY);
    let tag = text_at(&values.effective, TAG);
    if let (Fact::Unknown(reason, origin), Some(seen)) = (&tag, &values.effective_if_unseen_is_empty) {
        let assumes = format!("{TAG} is not set by what cannot be seen ({})", values.unseen.join(", "));
        let repository = repository.or_else(|| known_text(seen, REPOSITORY));
        return match set_by_user(text_at(seen, TAG)) {
            // Templated where it is written.
            Fact::Unknown(reason, origin) => {
                Image { milvus: EffectiveVersion::Unknown(Arc::clone(&reason)), assumes: None, tag: Fact::Unknown(reason, origin), repository }
            }
            Fact::Known(text, origin) => Image { milvus: by_tag(&text), assumes: Some(assumes.into()), tag: Fact::Known(text, origin), repository },
            Fact::Absent => {
                let milvus = by_chart();
                let assumes = milvus.unknown_because().is_none().then(|| assumes.into());
                Image { milvus, assumes, tag: Fact::Unknown(Arc::clone(reason), origin.clone()), repository }
            }
        };
    }
    match set_by_user(tag) {
        Fact::Unknown(reason, origin) => {
            // Of an unknown chart nothing is known but what the user sets.
            let milvus = if values.defaults_of.is_none() { by_chart() } else { EffectiveVersion::Unknown(Arc::clone(&reason)) };
            Image { milvus, assumes: None, tag: Fact::Unknown(reason, origin), repository }
        }
        Fact::Known(text, origin) => Image { milvus: by_tag(&text), assumes: None, tag: Fact::Known(text, origin), repository },
        Fact::Absent => Image { milvus: by_chart(), assumes: None, tag: Fact::Absent, repository },
    }
}

/// A tag that is the chart's default is not set by the user.
fn set_by_user(tag: Fact<Arc<str>>) -> Fact<Arc<str>> {
    match tag {
        Fact::Known(_, Origin::ChartDefault) => Fact::Absent,
        tag => tag,
    }
}

fn known_text(root: &Node, path: &str) -> Option<Arc<str>> {
    text_at(root, path).known().cloned()
}

fn unknown(reason: &str) -> EffectiveVersion {
    EffectiveVersion::Unknown(reason.into())
}

fn by_tag(text: &str) -> EffectiveVersion {
    let tag = ImageTag::parse(text);
    match (tag.version(), tag.unknown_because()) {
        (Some(version), _) => EffectiveVersion::Exact(version),
        (None, reason) => EffectiveVersion::Unknown(reason.unwrap_or_else(|| "the image tag names no version".into())),
    }
}

/// The version of the chart's default image.
fn by_chart(chart: &ChartResolution, values: &Values, catalogue: &Catalogue) -> EffectiveVersion {
    let Some(version) = &values.defaults_of else {
        return match chart {
            ChartResolution::Unknown(reason) => EffectiveVersion::Unknown(Arc::clone(reason)),
            ChartResolution::NotPublished(version) => unknown(&format!("chart {version} was never published")),
            ChartResolution::Known(_) | ChartResolution::Interval { .. } => unknown("the image of the running release is kept, and that release is not known"),
        };
    };
    let Some(milvus) = catalogue.milvus(version) else {
        return unknown("the chart's default image is not known");
    };
    match chart {
        // The defaults of another chart are in force: they are exactly known.
        ChartResolution::Interval { judged_as, below, .. } if judged_as == version => EffectiveVersion::Interval {
            at_least: milvus,
            below: below.as_ref().and_then(|below| catalogue.first_from(below)).and_then(|entry| entry.milvus).filter(|below| *below > milvus),
        },
        _ => EffectiveVersion::Exact(milvus),
    }
}

/// The image that a manifest or a command names: `milvusdb/milvus:v2.5.16`.
fn named(image: &Fact<Arc<str>>) -> Image {
    match image {
        Fact::Known(text, origin) => {
            let (name, digest) = text.split_once('@').map_or((text.as_ref(), None), |(name, digest)| (name, Some(digest)));
            // A colon before the last slash is a registry's port.
            let (repository, tag) = match name.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
                _ => (name, None),
            };
            let milvus = match (tag, digest) {
                (Some(tag), _) => by_tag(tag),
                (None, Some(digest)) => by_tag(digest),
                (None, None) => by_tag("latest"),
            };
            Image { milvus, assumes: None, tag: tag.map_or(Fact::Absent, |tag| Fact::Known(tag.into(), origin.clone())), repository: Some(repository.into()) }
        }
        Fact::Unknown(reason, origin) => Image {
            milvus: EffectiveVersion::Unknown(Arc::clone(reason)),
            assumes: None,
            tag: Fact::Unknown(Arc::clone(reason), origin.clone()),
            repository: None,
        },
        Fact::Absent => Image { milvus: unknown("no Milvus image is named"), assumes: None, tag: Fact::Absent, repository: None },
    }
}
