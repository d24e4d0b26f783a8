//! The Milvus image and the version in force.

use std::sync::Arc;

use super::ChartResolution;
use super::values::Values;
use super::view::text_at;
use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Declaration, Defaults, Form, Operation};
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
    // A post-renderer or a kustomization replaces what the chart renders.
    let is_replaced = declaration.image != Fact::Absent;
    if named_by_itself || is_replaced {
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
            Fact::Known(text, origin) => {
                Image { milvus: by_set_tag(&text, &origin), assumes: Some(assumes.into()), tag: Fact::Known(text, origin), repository }
            }
            Fact::Absent => {
                let milvus = by_chart();
                let assumes = milvus.unknown_because().is_none().then(|| assumes.into());
                Image { milvus, assumes, tag: Fact::Unknown(Arc::clone(reason), origin.clone()), repository }
            }
        };
    }
    // What comes with the chart itself tells its image better than the catalogue.
    if let (Defaults::Carried(_), Fact::Known(text, Origin::ChartDefault)) = (&declaration.defaults, &tag) {
        return Image { milvus: by_tag(text), assumes: None, tag: Fact::Absent, repository };
    }
    match set_by_user(tag) {
        Fact::Unknown(reason, origin) => {
            // Of an unknown chart nothing is known but what the user sets.
            let milvus = if values.defaults_of.is_none() { by_chart() } else { EffectiveVersion::Unknown(Arc::clone(&reason)) };
            Image { milvus, assumes: None, tag: Fact::Unknown(reason, origin), repository }
        }
        Fact::Known(text, origin) => Image { milvus: by_set_tag(&text, &origin), assumes: None, tag: Fact::Known(text, origin), repository },
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

/// The version that a tag names. Of one that a Secret holds only where it is kept is told.
fn by_set_tag(text: &str, origin: &Origin) -> EffectiveVersion {
    match (by_tag(text), origin.secret()) {
        (EffectiveVersion::Unknown(_), Some(secret)) => {
            unknown(&format!("image tag: it is kept in {secret}, and names no Milvus version that can be compared"))
        }
        (version, _) => version,
    }
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

#[cfg(test)]
mod tests {
    use super::super::Release;
    use super::super::fixture;
    use super::*;
    use crate::model::declaration::{Layer, Lineage, SetKind, ValuesStrategy};

    fn told(release: &Release) -> String {
        let assumed = if release.milvus_assumes.is_some() { " assumed" } else { "" };
        format!("{}{assumed}", release.milvus)
    }

    #[test]
    fn the_version_in_force_is_the_tag_else_the_default_image_of_the_chart() {
        let table = [
            ("4.2.58", "{}", "2.5.16"),
            // The default image, not the appVersion.
            ("4.0.10", "{}", "2.2.4"),
            ("4.0.11", "{}", "2.3.0-beta"),
            ("4.0.12", "{}", "2.2.4"),
            ("4.0.28", "{}", "2.2.12"),
            ("2.4.20", "{}", "2.0.0-pre-ga"),
            ("4.2.46", "{}", "2.5.9"),
            ("5.0.19", r#"{"image":{"all":{"tag":"v2.5.10"}}}"#, "2.5.10"),
            ("4.2.58", r#"{"image":{"all":{"tag":"2.5.22"}}}"#, "2.5.22"),
            ("4.2.58", r#"{"image":{"all":{"tag":"v2.4.0-secure","repository":"registry.example/milvus"}}}"#, "2.4.0"),
            // Without a tag the template takes the appVersion.
            ("4.2.58", r#"{"image":{"all":{"tag":""}}}"#, "2.5.16"),
            ("4.2.58", r#"{"image":{"all":{"tag":null}}}"#, "2.5.16"),
            // A key that no chart reads says nothing.
            ("4.2.58", r#"{"image":{"tag":"v2.6.0"}}"#, "2.5.16"),
            ("4.2.58", r#"{"image":{"all":{"tag":2.2}}}"#, "unknown"),
            ("4.2.58", r#"{"image":{"all":{"tag":"latest"}}}"#, "unknown"),
            ("4.2.58", r#"{"image":{"all":{"tag":"zc-2"}}}"#, "unknown"),
            ("5.0.22", "{}", "2.6.15 or later"),
            ("*", "{}", "2.6.15 or later"),
            ("4.x", "{}", "2.5.16 or later, below 2.6.0"),
            ("~> 4.1", "{}", "2.4.5 or later, below 2.4.6"),
            ("4.x", r#"{"image":{"all":{"tag":"v2.5.22"}}}"#, "2.5.22"),
            ("2.5.11", "{}", "unknown"),
            ("2.5.11", r#"{"image":{"all":{"tag":"v2.5.11"}}}"#, "2.5.11"),
        ];
        for (chart, values, expected) in table {
            assert_eq!(told(&fixture::release(chart, values)), expected, "{chart} {values}");
        }
    }

    #[test]
    fn a_tag_beneath_unseen_values_is_assumed_and_says_what_is_unseen() {
        for (values, expected) in [(r#"{"image":{"all":{"tag":"v2.5.10"}}}"#, "2.5.10 assumed"), ("{}", "2.5.16 assumed")] {
            let mut declaration = fixture::declaration(Some("4.2.58"), values);
            declaration.layers.push(fixture::unseen());
            let release = fixture::resolve(declaration, None);
            assert_eq!(told(&release), expected);
            assert!(release.milvus_assumes.unwrap().contains("Secret milvus-credentials"));
        }
        let mut declaration = fixture::declaration(Some("4.2.58"), r#"{"image":{"all":{"tag":"v2.5.10"}}}"#);
        declaration.layers.insert(0, fixture::unseen());
        assert_eq!(told(&fixture::resolve(declaration, None)), "2.5.10");
    }

    #[test]
    fn a_tag_set_by_flag_counts_and_a_templated_one_is_unknown() {
        let mut declaration = fixture::declaration(Some("4.2.58"), "{}");
        declaration.layers.push(Layer::Set { kind: SetKind::Set, text: "image.all.tag=v2.5.22".into(), place: fixture::place(), file: None });
        assert_eq!(told(&fixture::resolve(declaration.clone(), None)), "2.5.22");
        declaration.layers.insert(0, fixture::unseen());
        assert_eq!(told(&fixture::resolve(declaration, None)), "2.5.22");
    }

    #[test]
    fn the_strategy_decides_whose_tag_stays() {
        let before = fixture::release("4.1.24", r#"{"image":{"all":{"tag":"v2.3.12"}}}"#);
        let plain = fixture::release("4.1.24", "{}");
        let table = [
            (ValuesStrategy::Replace, Some(&before), "2.4.16"),
            (ValuesStrategy::ResetThenReuse, Some(&before), "2.3.12"),
            (ValuesStrategy::ResetThenReuse, Some(&plain), "2.4.16"),
            (ValuesStrategy::KeptByDefault, Some(&before), "2.3.12"),
            (ValuesStrategy::Reuse, Some(&before), "2.3.12"),
            // The image is an old default too.
            (ValuesStrategy::Reuse, Some(&plain), "2.3.11"),
            (ValuesStrategy::Reuse, None, "unknown"),
            (ValuesStrategy::ResetThenReuse, None, "2.4.16 assumed"),
            (ValuesStrategy::KeptByDefault, None, "2.4.16 assumed"),
        ];
        for (strategy, before, expected) in table {
            let mut after = fixture::declaration(Some("4.2.20"), "{}");
            after.strategy = strategy;
            assert_eq!(told(&fixture::resolve(after, before)), expected, "{strategy:?}");
        }
        let mut install = fixture::declaration(Some("4.2.20"), "{}");
        (install.operation, install.strategy) = (Operation::Install, ValuesStrategy::KeptByDefault);
        assert_eq!(told(&fixture::resolve(install, None)), "2.4.16");
    }

    #[test]
    fn a_command_or_a_manifest_names_its_image_itself() {
        for (image, version, repository) in [
            ("milvusdb/milvus:v2.5.16", "2.5.16", "milvusdb/milvus"),
            ("registry:5000/milvus:v2.4.0@sha256:01", "2.4.0", "registry:5000/milvus"),
            ("milvusdb/milvus@sha256:01", "unknown", "milvusdb/milvus"),
            ("registry:5000/milvus", "unknown", "registry:5000/milvus"),
        ] {
            let mut declaration = fixture::declaration(None, "{}");
            declaration.operation = Operation::DirectChange;
            declaration.image = Fact::Known(image.into(), Origin::At(fixture::place()));
            let release = fixture::resolve(declaration, None);
            assert_eq!((told(&release).as_str(), release.image_repository.as_deref()), (version, Some(repository)), "{image}");
        }
    }

    #[test]
    fn an_image_that_replaces_the_rendered_one_is_in_force() {
        let mut declaration = fixture::declaration(Some("4.2.58"), r#"{"image":{"all":{"tag":"v2.5.22"}}}"#);
        declaration.image = Fact::Known("milvusdb/milvus:v2.6.15".into(), Origin::At(fixture::place()));
        assert_eq!(told(&fixture::resolve(declaration, None)), "2.6.15");
    }

    #[test]
    fn of_a_foreign_chart_only_the_tag_is_known() {
        let mut declaration = fixture::declaration(Some("4.2.58"), r#"{"image":{"all":{"tag":"v2.5.10"}}}"#);
        declaration.chart.lineage = Lineage::Suse;
        let release = fixture::resolve(declaration, None);
        assert_eq!(told(&release), "2.5.10");
        assert!(release.mode.is_none() && release.queue.is_unknown() && release.metadata.is_unknown() && release.objects.is_unknown());
    }

    #[test]
    fn a_values_file_alone_has_a_version_only_by_its_tag() {
        for (values, expected) in [("{}", "unknown"), (r#"{"image":{"all":{"tag":"v2.4.5"}}}"#, "2.4.5")] {
            let mut declaration = fixture::declaration(None, values);
            declaration.identity.form = Form::Values;
            let release = fixture::resolve(declaration, None);
            assert!(release.chart_assumes.is_some());
            assert_eq!(told(&release), expected);
        }
    }
}
