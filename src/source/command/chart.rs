//! Which chart a command means: by repository alias, URL, archive, or folder of the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::helm::HelmCall;
use super::paths::{Whereabouts, shown};
use super::script_file::ScriptFile;
use crate::document::shell::Word;
use crate::model::declaration::{ChartSource, Lineage};
use crate::model::place::{Fact, Origin, Place};
use crate::model::version::VersionSpec;
use crate::source::SourceFile;
use crate::source::lineage::{archive_version, is_milvus_chart, is_operator_chart, lineage};

/// What a word names.
pub(super) enum Meant {
    /// A chart called milvus.
    Milvus(Box<ChartSource>),
    /// A chart's folder in the tree.
    Folder(String),
    /// Something else.
    Other,
    /// Cannot be told; the word has unknown parts.
    Unknown,
}

/// A repository that the file adds.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    pub(super) url: Fact<Arc<str>>,
}

/// Charts that a script fetched into folders and archives.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    by_path: BTreeMap<String, ChartSource>,
    /// By the last part of the path, for those who name it from elsewhere.
    by_name: BTreeMap<String, ChartSource>,
}

impl Fetched {
    /// Takes note of what lies at a path from now on.
    pub(super) fn insert(&mut self, path: &str, whereabouts: &Whereabouts<'_>, source: &ChartSource) {
        self.by_path.insert(whereabouts.key(path), source.clone());
        self.by_name.insert(last_part(path).to_owned(), source.clone());
    }

    /// What lies at a path. Helm takes what lies there before it asks any repository.
    fn at(&self, path: &str, whereabouts: &Whereabouts<'_>) -> Option<&ChartSource> {
        let is_a_file_for_certain = is_local(path) || !path.contains('/');
        self.by_path.get(&whereabouts.key(path)).or_else(|| self.by_name.get(last_part(path)).filter(|_| is_a_file_for_certain))
    }
}

/// What is known when a chart is named.
pub(super) struct Charts<'a> {
    pub(super) file: &'a ScriptFile<'a>,
    pub(super) whereabouts: Whereabouts<'a>,
    /// Repositories added in this file, by alias.
    pub(super) repositories: &'a BTreeMap<String, Repository>,
    /// Charts that the script fetched before.
    pub(super) fetched: &'a Fetched,
    /// The script cloned zilliztech's repository before, from this URL.
    pub(super) cloned: Option<&'a Fact<Arc<str>>>,
}

impl Charts<'_> {
    pub(super) fn meant(&self, chart: &Word, call: &HelmCall) -> Meant {
        let version = call.option("version").and_then(|option| option.value.as_ref());
        let version = version.map_or(Fact::Absent, |word| self.file.fact(word)).map(|text| VersionSpec::parse(&text));
        let version = match version {
            Fact::Absent => match call.switch("devel") {
                Some(devel) => Fact::Known(VersionSpec::parse(">0.0.0-0"), Origin::At(self.file.place(&devel.bytes))),
                None => Fact::Absent,
            },
            version => version,
        };
        let name = self.file.fact(chart);
        let Some(text) = chart.text() else {
            return if self.speaks_of_milvus(chart) { self.partly_known(chart, name, version) } else { Meant::Unknown };
        };
        if is_operator_chart(&text) {
            return Meant::Other;
        }
        if let Some(repository) = call.option("repo").and_then(|option| option.value.as_ref()) {
            return match is_milvus_chart(&text) {
                true => milvus(self.file.fact(repository), name, version, &text),
                false => Meant::Other,
            };
        }
        if text.contains("://") {
            return self.remote(&text, chart, name, version);
        }
        if let Some(folder) = self.whereabouts.chart_folder(&text, self.file.context).filter(|_| !self.is_alias(&text)) {
            return Meant::Folder(folder);
        }
        if let Some(fetched) = self.fetched.at(&text, &self.whereabouts) {
            let mut source = fetched.clone();
            source.vendored = None;
            return Meant::Milvus(Box::new(source));
        }
        if !is_milvus_chart(&text) {
            return Meant::Other;
        }
        if is_local(&text) {
            return self.local(&text, name);
        }
        let Some((alias, _)) = text.split_once('/') else {
            // A bare name is a folder that is not in the tree.
            return self.local(&text, name);
        };
        let repository = match self.repositories.get(alias) {
            Some(repository) => repository.url.clone(),
            None => self.file.context.repository_alias(alias).map_or(Fact::Absent, |(url, place)| Fact::Known(url, Origin::At(place))),
        };
        milvus(repository, name, version, &text)
    }

    fn is_alias(&self, text: &str) -> bool {
        !text.starts_with(['.', '/']) && text.split_once('/').is_some_and(|(alias, rest)| !rest.contains('/') && self.repositories.contains_key(alias))
    }

    /// An OCI reference or the URL of an archive.
    fn remote(&self, text: &str, chart: &Word, name: Fact<Arc<str>>, version: Fact<VersionSpec>) -> Meant {
        if !is_milvus_chart(text) {
            return Meant::Other;
        }
        let at = Origin::At(self.file.place(&chart.value_bytes()));
        let repository = text.rsplit_once('/').map_or(Fact::Absent, |(folder, _)| Fact::Known(Arc::from(folder), at.clone()));
        let tag = text.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
        let named = archive_version(text, "milvus").or(tag.filter(|_| text.starts_with("oci:")));
        let version = match (version, named) {
            (Fact::Absent, Some(named)) => Fact::Known(VersionSpec::parse(named), at),
            (version, _) => version,
        };
        milvus(repository, name, version, text)
    }

    /// A folder or an archive that is not in the tree as a chart's folder.
    fn local(&self, text: &str, name: Fact<Arc<str>>) -> Meant {
        let origin = name.origin().cloned().unwrap_or_else(|| Origin::Given("the command".into()));
        let shown = shown(text);
        let archive = self.whereabouts.file(text, self.file.context);
        let version = match archive_version(text, "milvus") {
            Some(version) => Fact::Known(VersionSpec::parse(version), origin.clone()),
            None => Fact::Unknown(format!("the chart {shown} is not in the tree").into(), origin.clone()),
        };
        let (repository, of) = match self.cloned {
            Some(url) => (url.clone(), url.known().map_or(Lineage::Unknown, |url| lineage(Some(url), text))),
            None => (Fact::Absent, Lineage::Unknown),
        };
        Meant::Milvus(Box::new(ChartSource { repository, name, version, lineage: of, vendored: archive.map(Arc::from) }))
    }

    fn speaks_of_milvus(&self, chart: &Word) -> bool {
        chart.pieces.iter().any(|piece| matches!(piece, crate::document::shell::Piece::Text { text, .. } if text.to_ascii_lowercase().contains("milvus")))
    }

    /// `$REPO/milvus`, `./milvus-$VERSION.tgz`: Milvus for certain, the rest not.
    fn partly_known(&self, chart: &Word, name: Fact<Arc<str>>, version: Fact<VersionSpec>) -> Meant {
        let is_archive = chart.pieces.last().is_some_and(|piece| matches!(piece, crate::document::shell::Piece::Text { text, .. } if text.ends_with(".tgz")));
        let ends_in_name =
            chart.pieces.last().is_some_and(|piece| matches!(piece, crate::document::shell::Piece::Text { text, .. } if text.ends_with("/milvus")));
        if !is_archive && !ends_in_name && !chart.known_start().ends_with("milvus/") {
            return Meant::Unknown;
        }
        let version = match (version, is_archive) {
            (Fact::Absent, true) => Fact::Unknown(
                "it is part of the archive's name, which is not known".into(),
                name.origin().cloned().unwrap_or(Origin::Given("the command".into())),
            ),
            (version, _) => version,
        };
        Meant::Milvus(Box::new(ChartSource { repository: Fact::Absent, name, version, lineage: Lineage::Unknown, vendored: None }))
    }
}

fn milvus(repository: Fact<Arc<str>>, name: Fact<Arc<str>>, version: Fact<VersionSpec>, text: &str) -> Meant {
    let of = if repository.is_unknown() { Lineage::Unknown } else { lineage(repository.known().map(|url| &**url), text) };
    Meant::Milvus(Box::new(ChartSource { repository, name, version, lineage: of, vendored: None }))
}

fn is_local(text: &str) -> bool {
    let marked = text.starts_with([crate::document::shell::SCRIPT_FOLDER, crate::document::shell::REPOSITORY_ROOT]);
    marked || text.starts_with(['.', '/', '~']) || text.matches('/').count() > 1 || text.ends_with(".tgz")
}

/// The last part of a path without a trailing slash.
pub(super) fn last_part(text: &str) -> &str {
    let text = text.trim_end_matches('/');
    text.rsplit('/').next().unwrap_or(text)
}

/// All `helm repo add` in a text, read roughly: alias, URL, byte of the URL. For finding the repository of an alias that another file adds.
pub(in crate::source) fn repositories_roughly(file: &SourceFile) -> Vec<(String, Arc<str>, Place)> {
    const COMMAND: &str = "repo add";
    let mut found = Vec::new();
    let text: &str = &file.text;
    let mut lines = None;
    for at in memchr::memmem::find_iter(text.as_bytes(), COMMAND.as_bytes()).take(200) {
        let rest = text.get(at + COMMAND.len()..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let mut words = line.split_whitespace().filter(|word| !word.starts_with('-'));
        let (Some(alias), Some(url)) = (words.next(), words.next()) else { continue };
        let url = url.trim_matches(['"', '\'', '`', ',', ';', ')']);
        if !(url.starts_with("http") || url.starts_with("oci:")) || url.contains('$') {
            continue;
        }
        let lines = lines.get_or_insert_with(|| crate::document::extract::LineIndex::new(text));
        let Some(offset) = line.find(url) else { continue };
        let start = at + COMMAND.len() + offset;
        let span = lines.span(&(start..start + url.len()));
        found.push((alias.trim_matches(['"', '\'']).to_owned(), Arc::from(url), crate::source::declare::place_of(&file.path, &span)));
    }
    found
}
