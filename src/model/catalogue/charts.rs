//! Reads the table of chart versions.

use std::sync::Arc;

use super::{ChartEntry, ChartStatus, Dependency};
use crate::model::version::ImageTag;

/// Reads the table, oldest first. A line that cannot be read is left out (a test holds the embedded table to be whole).
pub(super) fn read(text: &str) -> Vec<ChartEntry> {
    let mut known: Option<(&str, Arc<[Dependency]>)> = None;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [version, app, date, status, archived, defaults, image, kube_version, dependencies, note] = fields.as_slice() else { return None };
            // Neighbours have the same dependencies most of the time.
            let dependencies = match &known {
                Some((text, list)) if text == dependencies => Arc::clone(list),
                _ => {
                    let list: Arc<[Dependency]> = read_dependencies(dependencies);
                    known = Some((dependencies, Arc::clone(&list)));
                    list
                }
            };
            let (image_repository, image_tag) = said(image).and_then(|image| image.rsplit_once(':')).unzip();
            Some(ChartEntry {
                version: version.parse().ok()?,
                app: (*app).into(),
                date: (*date).into(),
                status: match *status {
                    "published" => ChartStatus::Published,
                    "retracted" => ChartStatus::Retracted,
                    "tag-only" => ChartStatus::TagOnly,
                    "source-only" => ChartStatus::SourceOnly,
                    _ => return None,
                },
                archived: *archived == "archived",
                has_defaults: *defaults == "defaults",
                milvus: ImageTag::parse(image_tag.unwrap_or(app)).version(),
                image_repository: image_repository.map(Arc::from),
                image_tag: image_tag.map(Arc::from),
                kube_version: said(kube_version).map(Arc::from),
                dependencies,
                note: said(note).map(Arc::from),
            })
        })
        .collect()
}

fn said(field: &str) -> Option<&str> {
    (field != "-").then_some(field)
}

/// `etcd=8.12.0 pulsar:pulsarv3=3.3.0`
fn read_dependencies(text: &str) -> Arc<[Dependency]> {
    said(text)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|dependency| {
            let (name, version) = dependency.split_once('=')?;
            let (name, alias) = name.split_once(':').map_or((name, None), |(name, alias)| (name, Some(alias)));
            Some(Dependency { name: name.into(), alias: alias.map(Arc::from), version: version.into() })
        })
        .collect()
}
