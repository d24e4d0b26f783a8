//! Which chart a `HelmRelease` means: its name, version and repository, found across files.

use std::sync::Arc;

use super::at;
use crate::model::declaration::{ChartSource, Lineage, NotChecked};
use crate::model::place::Fact;
use crate::model::version::VersionSpec;
use crate::source::chart_folder::ChartFolder;
use crate::source::context::{Context, join};
use crate::source::gitops::{chart, version};
use crate::source::index::Key;
use crate::source::item::{Expander, Item};
use crate::source::lineage::{is_milvus_chart, is_operator_chart, lineage};

const SOURCES: &str = "source.toolkit.fluxcd.io";

/// The chart of a release, as far as it can be seen.
pub(super) struct Chart {
    pub(super) source: ChartSource,
    pub(super) gaps: Vec<NotChecked>,
    /// The chart lies in this folder of the tree: it tells the rest.
    pub(super) folder: Option<Arc<str>>,
}

/// Whether a chart of this name may be Milvus's: called so, or a path that only the tree can tell.
pub(super) fn may_be_milvus(name: &str) -> bool {
    is_milvus_chart(name) || (name.contains('/') && !is_operator_chart(name))
}

/// The chart of a `HelmRelease`; nothing where it is not Milvus's.
pub(super) fn resolve(item: &Item, expand: &dyn Expander, context: &Context<'_>) -> Option<Chart> {
    let spec = item.get("spec")?;
    let namespace = item.text_at(&["metadata", "namespace"]);
    let resolver = Resolver { context, expand, namespace, from: &item.source.path };
    match (spec.at(&["chart", "spec"]), spec.get("chartRef")) {
        (Some(chart), _) => resolver.chart_spec(chart, namespace),
        (None, Some(reference)) => resolver.chart_reference(reference),
        (None, None) => None,
    }
}

struct Resolver<'r> {
    context: &'r Context<'r>,
    expand: &'r dyn Expander,
    namespace: Option<&'r str>,
    from: &'r str,
}

impl Resolver<'_> {
    /// `chart`, `version`, `sourceRef` of a release or a `HelmChart`.
    fn chart_spec(&self, spec: &Item, namespace: Option<&str>) -> Option<Chart> {
        let name = spec.fact_at(&["chart"]);
        let asked = version(spec.fact_at(&["version"]));
        let reference = spec.get("sourceRef");
        let kind = reference.and_then(|r| r.text_at(&["kind"])).unwrap_or("HelmRepository");
        if kind != "HelmRepository" {
            return self.chart_in_files(spec, &name, reference, kind, namespace);
        }
        if name.known().is_some_and(|name| !is_milvus_chart(name)) {
            return None;
        }
        let mut gaps = Vec::new();
        let repository = self.repository(reference, namespace, &mut gaps);
        let mut source = chart(repository, name, asked);
        if let (Fact::Unknown(..), Some(named)) = (&source.repository, reference.and_then(|r| r.text_at(&["name"]))) {
            // Out of sight, but called as people call the repositories that are known.
            source.lineage = lineage(Some(&format!("@{named}")), "milvus");
        }
        // A chart whose name is not known is Milvus's only where nothing else is in the repository.
        (source.name.known().is_some() || source.lineage.is_zilliztech()).then_some(Chart { source, gaps, folder: None })
    }

    fn repository(&self, reference: Option<&Item>, namespace: Option<&str>, gaps: &mut Vec<NotChecked>) -> Fact<Arc<str>> {
        let Some(reference) = reference else {
            return Fact::Absent;
        };
        let Some(found) = self.find("HelmRepository", reference, namespace) else {
            gaps.push(reference.partly("the HelmRepository is not in this tree: which chart this is cannot be told for certain"));
            return Fact::Unknown("its HelmRepository is not in this tree".into(), at(reference));
        };
        found.fact_at(&["spec", "url"])
    }

    fn chart_reference(&self, reference: &Item) -> Option<Chart> {
        let namespace = reference.text_at(&["namespace"]).or(self.namespace);
        let kind = reference.text_at(&["kind"])?;
        let named = reference.text_at(&["name"]);
        match (kind, self.find(kind, reference, self.namespace)) {
            ("HelmChart", Some(found)) => self.chart_spec(found.get("spec")?, found.text_at(&["metadata", "namespace"]).or(namespace)),
            ("OCIRepository", Some(found)) => Self::oci(found.get("spec")?),
            (_, None) if named.is_some_and(is_milvus_chart) => {
                let missing = || Fact::Unknown(format!("the {kind} is not in this tree").into(), at(reference));
                let source = ChartSource {
                    repository: missing(),
                    name: missing(),
                    version: Fact::Unknown(format!("the {kind} is not in this tree").into(), at(reference)),
                    lineage: Lineage::Unknown,
                    vendored: None,
                };
                let gap = reference.partly(&format!("the {kind} is not in this tree: chart and version are not checked"));
                Some(Chart { source, gaps: vec![gap], folder: None })
            }
            _ => None,
        }
    }

    fn oci(spec: &Item) -> Option<Chart> {
        let url = spec.get("url")?;
        let (repository, name) = match url.fact() {
            Fact::Known(text, origin) => {
                let text = text.trim_end_matches('/');
                let (repository, name) = text.rsplit_once('/')?;
                if !is_milvus_chart(name) {
                    return None;
                }
                (Fact::Known(repository.into(), origin.clone()), Fact::Known(name.into(), origin))
            }
            unknown if url.raw_text().is_some_and(|text| text.trim_end_matches(['"', '\'', '/']).ends_with("milvus")) => {
                (unknown.clone(), Fact::Known("milvus".into(), at(url)))
            }
            _ => return None,
        };
        let asked = match (spec.at(&["ref", "digest"]), spec.at(&["ref", "semver"]), spec.at(&["ref", "tag"])) {
            (Some(digest), ..) if !digest.is_null() => Fact::Unknown("it is a digest".into(), at(digest)),
            (_, Some(range), _) if !range.is_null() => version(range.fact()),
            (.., Some(tag)) => version(tag.fact()),
            _ => Fact::Absent,
        };
        Some(Chart { source: chart(repository, name, asked), gaps: Vec::new(), folder: None })
    }

    /// A chart from a `GitRepository` or `Bucket`: in this tree, or in zilliztech's own repository.
    fn chart_in_files(&self, spec: &Item, name: &Fact<Arc<str>>, reference: Option<&Item>, kind: &str, namespace: Option<&str>) -> Option<Chart> {
        let path = name.known()?;
        let repository = reference.and_then(|reference| self.find(kind, reference, namespace));
        let url = repository.as_ref().map_or(Fact::Absent, |found| found.fact_at(&["spec", "url"]));
        let origin = lineage(url.known().map(|url| &**url), path);
        if origin.is_zilliztech() && is_milvus_chart(path) {
            let asked = repository.as_ref().map_or(Fact::Absent, git_version);
            let name = Fact::Known(Arc::from("milvus"), spec.get("chart").map_or_else(|| at(spec), at));
            return Some(Chart {
                source: ChartSource { repository: url, name, version: asked, lineage: origin, vendored: None },
                gaps: Vec::new(),
                folder: None,
            });
        }
        let chart = ChartFolder::load(&join("", path)?, self.context).or_else(|| {
            // The path may start at the folder of the manifest.
            let (from, _) = self.from.rsplit_once('/')?;
            ChartFolder::load(&join(from, path)?, self.context)
        })?;
        let unknown = || ChartSource { repository: url.clone(), name: name.clone(), version: Fact::Absent, lineage: Lineage::Wrapper, vendored: None };
        Some(Chart { source: unknown(), gaps: Vec::new(), folder: Some(chart.folder) })
    }

    /// The object that a reference names, with templates expanded; its namespace defaults to the referrer's.
    fn find(&self, kind: &str, reference: &Item, namespace: Option<&str>) -> Option<Item> {
        let name = reference.text_at(&["name"])?;
        let key = Key { group: SOURCES, kind, name, namespace: reference.text_at(&["namespace"]).or(namespace) };
        let anywhere = || self.context.find(&key.anywhere(), self.from);
        let found = self.context.find(&key, self.from).or_else(anywhere).or_else(|| self.context.find_beside(&key.anywhere(), self.from))?;
        Some(found.expanded(self.expand))
    }
}

/// The version in a tag of zilliztech's repository: `milvus-4.2.58`.
fn git_version(repository: &Item) -> Fact<VersionSpec> {
    let Some(tag) = repository.at(&["spec", "ref", "tag"]).or_else(|| repository.at(&["spec", "ref", "semver"])) else {
        return Fact::Unknown("it is whatever the branch holds".into(), at(repository.at(&["spec", "url"]).unwrap_or(repository)));
    };
    version(tag.fact().map(|text| text.strip_prefix("milvus-").map_or_else(|| text.clone(), Arc::from)))
}
