//! `--before`: what ran before, for releases of which the comparison does not tell it.

mod assumed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};

use milvus_guard::document::yaml::{Kind, Limits, Node as YamlNode, parse_stream, parse_verbatim};
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::ChangeKind;
use milvus_guard::model::declaration::{Declaration, Form, Identity, Layer, SetKind, ValuesStrategy};
use milvus_guard::model::place::{Fact, Origin, Place};
use milvus_guard::model::value::Value;
use milvus_guard::model::version::{ChartVersion, MilvusVersion, VersionSpec};
use milvus_guard::source::convert::to_verbatim_table;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::pair::Pair;
use milvus_guard::source::{self, SourceFile};

use super::scope::Scope;
use super::{known, output, walk};

/// First lines of what `helm get values` prints; they look like keys.
const HEADINGS: [&str; 2] = ["USER-SUPPLIED VALUES", "COMPUTED VALUES"];

/// What was given with `--before`.
#[derive(Debug, Default)]
pub(crate) struct Given {
    version: Option<ChartVersion>,
    values: Option<Layer>,
    declarations: Vec<Declaration>,
    listed: Vec<Listed>,
    texts: BTreeMap<String, Arc<str>>,
}

/// A release as `helm list -o json` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    chart: ChartVersion,
}

impl Given {
    /// Reads what was given: files, or versions.
    ///
    /// # Errors
    /// When something is neither a file nor a version, or a file cannot be read or tells nothing.
    pub(crate) fn read(arguments: &[String], limit_bytes: u64) -> anyhow::Result<Self> {
        let mut given = Self::default();
        for argument in arguments {
            let path = Path::new(argument);
            if path.is_dir() {
                given.folder(path, limit_bytes)?;
            } else if path.exists() {
                given.file(path, argument, limit_bytes)?;
            } else if given.version.replace(version(argument)?).is_some() {
                bail!("--before names two versions; give one");
            }
        }
        Ok(given)
    }

    /// All releases that a folder declares.
    fn folder(&mut self, path: &Path, limit_bytes: u64) -> anyhow::Result<()> {
        let scope = Scope::resolve(&[path.to_owned()])?;
        let walked = walk::walk(&scope, limit_bytes);
        let declarations = source::read_tree(&walked.tree, &walked.candidates).declarations;
        if declarations.is_empty() {
            bail!("--before `{}` is a folder that declares no Milvus release", path.display());
        }
        self.texts.extend(walked.candidates.iter().map(|file| (file.path.to_string(), Arc::clone(&file.text))));
        self.declarations.extend(declarations);
        Ok(())
    }

    fn file(&mut self, path: &Path, shown: &str, limit_bytes: u64) -> anyhow::Result<()> {
        let text = walk::read_named(path, limit_bytes)?;
        self.texts.insert(shown.to_owned(), Arc::clone(&text));
        let listed = listed(&text);
        if !listed.is_empty() {
            self.listed.extend(listed);
            return Ok(());
        }
        let tree = MemoryTree::new([(shown, &*text)]);
        let file = SourceFile::new(shown.into(), Arc::clone(&text));
        let declarations = source::read_tree(&tree, &[file]).declarations;
        let declarations: Vec<Declaration> = declarations.into_iter().filter(|declaration| declaration.identity.form != Form::Values).collect();
        if declarations.is_empty() {
            if is_list(&text) {
                bail!(
                    "--before `{shown}` lists no release of the Milvus chart; list those of the right cluster and namespace (`helm list --namespace NAME -o json`)"
                );
            }
            self.values = Some(values(shown, &text)?);
        }
        self.declarations.extend(declarations);
        Ok(())
    }

    /// The releases that were given.
    pub(crate) fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// The text of a file that was given.
    pub(crate) fn text(&self, file: &str) -> Option<Arc<str>> {
        self.texts.get(file).cloned()
    }

    /// Gives a state before to each release that has none.
    pub(crate) fn fill_in(&self, pairs: &mut [Pair]) {
        let is_open = |pair: &Pair| pair.before.is_none() && pair.after.is_some();
        let is_only_one = pairs.iter().filter(|pair| is_open(pair)).count() == 1;
        for pair in pairs.iter_mut().filter(|pair| is_open(pair)) {
            if let Some(before) = pair.after.as_ref().and_then(|after| self.before(after, is_only_one)) {
                let gap = self.version.as_ref().filter(|_| self.values.is_none()).and_then(|version| assumed::queue_gap(pair.after.as_ref()?, version));
                if let Some(after) = &mut pair.after {
                    after.gaps.extend(gap);
                }
                pair.before = Some(before);
                pair.kind = ChangeKind::Changed;
            }
        }
    }

    /// The state before of one release. What is given for no release in particular holds for all; a declaration or a listed release for that of its name, or where there
    /// is only one on each side.
    fn before(&self, after: &Declaration, is_only_one: bool) -> Option<Declaration> {
        let named = |name: Option<&str>, namespace: Option<&str>| {
            name.is_some()
                && name == after.identity.name.as_deref()
                && (namespace.is_none() || after.identity.namespace.is_none() || namespace == after.identity.namespace.as_deref())
        };
        let declared = self.declarations.iter().find(|before| named(before.identity.name.as_deref(), before.identity.namespace.as_deref()));
        let declared = declared.or_else(|| self.declarations.first().filter(|_| is_only_one && self.declarations.len() == 1));
        let listed = self.listed.iter().find(|before| named(Some(&before.name), before.namespace.as_deref()));
        let listed = listed.or_else(|| self.listed.first().filter(|_| is_only_one && self.listed.len() == 1 && after.identity.name.is_none()));
        let version = self.version.as_ref().or(listed.map(|listed| &listed.chart));
        if declared.is_none() && version.is_none() && self.values.is_none() {
            return None;
        }
        let mut before = declared.unwrap_or(after).clone();
        if declared.is_none() {
            // What is written beside the state after answers for the way there.
            before.evidence.clear();
        }
        // The form says how the declaration is to be read: rendered manifests name their image themselves.
        before.identity = Identity { form: before.identity.form, ..after.identity.clone() };
        if before.name.known().is_none() || after.name.known().is_none() {
            before.name = after.name.clone();
        }
        if before.namespace.known().is_none() || after.namespace.known().is_none() {
            before.namespace = after.namespace.clone();
        }
        if let Some(version) = version {
            let origin = Origin::Given(format!("--before {version}").into());
            // The values after may pin the image that the upgrade leads to: before, the chart's own one ran.
            if declared.is_none() {
                assumed::leave_out_rendered(&mut before);
                before.layers.extend(assumed::unknown_queue(after, version));
                // An upgrade that keeps the values would take it over: without a tag of its own, it goes to that of the new chart.
                let is_kept = matches!(after.strategy, ValuesStrategy::ResetThenReuse | ValuesStrategy::KeptByDefault);
                if !is_kept || assumed::sets(after, "image.all.tag") {
                    before.layers.extend(own_image(version, &before.place));
                }
            }
            before.chart.version = Fact::Known(VersionSpec::Exact(version.clone()), origin);
            before.chart.vendored = None;
            before.lock = None;
        }
        if let Some(values) = &self.values {
            before.layers = vec![values.clone()];
            // They are all that runs.
            before.strategy = ValuesStrategy::Replace;
        }
        Some(before)
    }
}

/// The image tag that a chart runs by default, in the way that wins over every other: also over a `--set` of the values after.
fn own_image(chart: &ChartVersion, place: &Place) -> Option<Layer> {
    let tag = Catalogue::embedded().get(chart)?.image_tag.clone()?;
    Some(Layer::Set { kind: SetKind::SetLiteral, text: format!("image.all.tag={tag}").into(), place: place.clone(), file: None })
}

/// A chart version, or the newest chart with a Milvus version that is no chart version.
fn version(text: &str) -> anyhow::Result<ChartVersion> {
    let catalogue = Catalogue::embedded();
    let wrong = || anyhow!("--before `{text}` is neither a file or folder nor a chart version such as 4.2.58");
    let chart: ChartVersion = text.parse().map_err(|_| wrong())?;
    let is_milvus = text.starts_with('v') || catalogue.get(&chart).is_none();
    let carrier = text.parse::<MilvusVersion>().ok().filter(|_| is_milvus).and_then(|milvus| catalogue.charts_of(milvus).next_back());
    match carrier {
        Some(carrier) => {
            output::warn(&format!("--before {text} is taken as chart {}, the newest with that Milvus version", carrier.version));
            Ok(carrier.version.clone())
        }
        None => {
            let milvus = text.parse().ok().filter(|_| is_milvus).filter(|milvus| known::is_milvus(*milvus));
            if let Some(milvus) = milvus {
                bail!(
                    "--before {text}: no chart installs Milvus {milvus} by default; give the chart version that runs, and the values with its tag in a second --before"
                );
            }
            known::chart(&chart, &format!("--before {text}"))?;
            Ok(chart)
        }
    }
}

/// Releases of the Milvus chart in the output of `helm list -o json` (or `-o yaml`).
fn listed(text: &str) -> Vec<Listed> {
    let Some(Ok(document)) = parse_stream(text, &Limits::default()).into_iter().next() else { return Vec::new() };
    let release = |item: &YamlNode| {
        let chart = item.text_at(&["chart"])?.strip_prefix("milvus-")?.parse().ok()?;
        Some(Listed { name: item.text_at(&["name"])?.into(), namespace: item.text_at(&["namespace"]).map(Into::into), chart })
    };
    document.root.items().iter().filter_map(release).collect()
}

/// Whether a text is a list, as `helm list` prints it.
fn is_list(text: &str) -> bool {
    parse_stream(text, &Limits::default())
        .first()
        .and_then(|document| document.as_ref().ok())
        .is_some_and(|document| matches!(document.root.kind, Kind::Sequence(_)))
}

/// A file of values, as people keep it or as `helm get values` prints it.
fn values(shown: &str, text: &str) -> anyhow::Result<Layer> {
    let wrong = |reason: String| anyhow!("--before `{shown}` declares no release, and cannot be read as values: {reason}");
    let Some(document) = parse_verbatim(text, &Limits::default()).into_iter().next() else { return Err(wrong("it is empty".to_owned())) };
    let mut document = document.map_err(|broken| wrong(format!("line {}: {}", broken.at.line, broken.reason)))?;
    if let Kind::Mapping(entries) = &mut document.root.kind {
        entries.retain(|(key, _)| !key.text().is_some_and(|key| HEADINGS.contains(&key)));
    }
    let values = to_verbatim_table(&shown.into(), &document.root).map_err(|refused| wrong(refused.to_string()))?;
    if !matches!(values.value, Value::Table(_)) {
        return Err(wrong("it is no table".to_owned()));
    }
    Ok(Layer::Table { values, what: format!("values file {shown}").into() })
}

#[cfg(test)]
mod tests {
    use milvus_guard::model::change::{Change, Environment};

    use super::*;

    #[test]
    fn a_milvus_version_stands_for_the_newest_chart_that_has_it() {
        assert_eq!(version("4.1.24").unwrap().to_string(), "4.1.24");
        assert_eq!(version("v2.5.16").unwrap().to_string(), "4.2.58");
        assert_eq!(version("5.0.22").unwrap().to_string(), "5.0.22");
        assert!(version("99.0.0").unwrap_err().to_string().contains("nearest published"));
        assert!(version("v2.5.22").unwrap_err().to_string().contains("no chart installs Milvus 2.5.22"));
        assert!(version("before").unwrap_err().to_string().contains("nor a chart version"));
    }

    #[test]
    fn releases_of_the_chart_are_taken_from_what_helm_lists() {
        let text = r#"[{"name":"vectors","namespace":"prod","revision":"3","chart":"milvus-4.1.24"},{"name":"redis","chart":"redis-1.0.0"},{"name":"odd","chart":"milvus-operator-1.0.0"}]"#;
        assert_eq!(listed(text), [Listed { name: "vectors".into(), namespace: Some("prod".into()), chart: ChartVersion::new(4, 1, 24) }]);
        assert!(listed("a: 1\n").is_empty() && listed("").is_empty());
    }

    #[test]
    fn a_version_alone_means_the_image_of_that_chart() {
        let given = Given { version: Some(ChartVersion::new(4, 1, 24)), ..Given::default() };
        let file = SourceFile::new("v.yaml".into(), "image: {all: {repository: milvusdb/milvus, tag: v2.6.15}}\n".into());
        let tree = MemoryTree::new([("v.yaml", "")]);
        let after = source::read_tree(&tree, &[file]).declarations.remove(0);
        let before = given.before(&after, true).unwrap();
        let Some(Layer::Set { text, .. }) = before.layers.last() else { panic!("no values") };
        assert_eq!(&**text, "image.all.tag=v2.3.11");
    }

    #[test]
    fn a_version_alone_says_nothing_of_what_rendered_manifests_hold() {
        let given = Given { version: Some(ChartVersion::new(4, 1, 24)), ..Given::default() };
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: v-milvus-proxy\n  labels: {helm.sh/chart: milvus-5.0.19, app.kubernetes.io/instance: v, component: proxy}\nspec: {template: {spec: {containers: [{name: proxy, image: 'milvusdb/milvus:v2.6.15'}]}}}\n";
        let tree = MemoryTree::new([("-", "")]);
        let after = source::read_tree(&tree, &[SourceFile::new("-".into(), deployment.into())]).declarations.remove(0);
        let change = Change::new(given.before(&after, true), Some(after), ChangeKind::Changed, Environment::default(), Catalogue::embedded()).unwrap();
        let (before, after) = (change.before.unwrap(), change.after.unwrap());
        assert_eq!((before.milvus.to_string(), after.milvus.to_string()), ("2.3.11".to_owned(), "2.6.15".to_owned()));
        assert_eq!(before.mode, after.mode);
        assert!(before.queue.is_unknown());
    }

    #[test]
    fn the_heading_of_helm_get_values_is_no_value() {
        let Layer::Table { values, .. } = values("values.yaml", "USER-SUPPLIED VALUES:\ncluster:\n  enabled: true\n").unwrap() else { panic!("no table") };
        assert_eq!(values.table().unwrap().entries.keys().map(|key| &**key).collect::<Vec<_>>(), ["cluster"]);
    }
}
