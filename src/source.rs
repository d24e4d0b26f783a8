//! Reads what people write: one module per form, each turning files into declarations. Knows no rule and does no I/O: the tree is handed in.

use std::sync::{Arc, OnceLock};

use crate::document::yaml::{self, Broken, Document, Limits};
use crate::model::declaration::{Declaration, Evidence, NotChecked};

pub mod acknowledgement;
pub mod argocd;
pub mod chart_folder;
pub mod command;
pub mod configuration;
pub mod context;
pub mod convert;
pub mod declare;
mod deployers;
mod each;
mod elsewhere;
pub mod environments;
pub mod evidence;
#[cfg(test)]
mod fixture;
pub mod flux;
pub mod gitops;
pub mod gotmpl;
pub mod helmfile;
pub mod index;
pub mod item;
pub mod k3s;
pub mod kept;
pub mod kustomize;
pub mod lineage;
pub mod manifest;
pub mod memory;
mod misplaced;
pub mod nested;
pub mod pair;
pub mod same;
mod templated;
pub mod umbrella;
pub mod unread;
pub mod values_file;
pub mod values_layer;

pub use context::{Context, normalize};
use each::each;

/// A tree of files: a folder, a git revision, or a few texts in a test.
pub trait Tree: Sync {
    /// Paths of all files, relative, with `/`, sorted.
    fn paths(&self) -> &[Arc<str>];

    /// The text of a file.
    ///
    /// # Errors
    /// When it is missing, too large, not UTF-8 or cannot be read.
    fn read(&self, path: &str) -> Result<Arc<str>, ReadError>;
}

/// What a text in UTF-16 is, and how it becomes one that can be read.
pub const UTF_16: &str = "it is UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8";

/// Why a file has no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It does not exist in this tree.
    #[error("the file is not in the tree")]
    Missing,
    /// It is larger than the limit.
    #[error("the file has {bytes} bytes, more than the limit of {limit_bytes}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// It is not text.
    #[error("the file is not UTF-8 text")]
    NotText,
    /// It is text in UTF-16, by its byte order mark.
    #[error("{UTF_16}")]
    Utf16,
    /// The operating system or git refused.
    #[error("{0}")]
    Failed(String),
}

/// A file that mentions Milvus; its documents are parsed once, when first asked for. A clone shares text and documents.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its path in the tree.
    pub path: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
    /// The user said that it holds values of the Milvus chart (`--values FILE`), whatever its name and content.
    pub named_as_values: bool,
    documents: Arc<OnceLock<Vec<Result<Document, Broken>>>>,
    /// YAML inside another file.
    embedded: bool,
}

impl SourceFile {
    /// A file and its text.
    #[must_use]
    pub fn new(path: Arc<str>, text: Arc<str>) -> Self {
        Self { path, text, named_as_values: false, documents: Arc::default(), embedded: false }
    }

    /// YAML that stands inside another file (a here-document of a script): `text` has it on the lines and columns of that file, and nothing else.
    #[must_use]
    pub fn embedded(path: Arc<str>, text: Arc<str>) -> Self {
        Self { embedded: true, ..Self::new(path, text) }
    }

    /// The same file, said to hold values of the Milvus chart.
    #[must_use]
    pub fn into_values(self) -> Self {
        Self { named_as_values: true, ..self }
    }

    /// The file as a stream of YAML documents.
    pub fn documents(&self) -> &[Result<Document, Broken>] {
        self.documents.get_or_init(|| yaml::parse_stream(&self.text, &Limits::default()))
    }

    /// The last part of the path.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder of the path, `` for the root.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the name says YAML.
    #[must_use]
    pub fn is_yaml(&self) -> bool {
        let name = self.file_name();
        self.embedded || [".yaml", ".yml", ".yaml.gotmpl", ".yml.gotmpl", ".yaml.tmpl", ".yaml.j2"].iter().any(|end| name.ends_with(end))
    }
}

/// What was read from a tree.
#[derive(Debug, Default)]
pub struct Reading {
    /// One per release and form.
    pub declarations: Vec<Declaration>,
    /// What could not be read, or only in part, and belongs to no declaration.
    pub gaps: Vec<NotChecked>,
    /// Evidence that names its release but stands elsewhere (`GuardedUpgrade` objects): release name, namespace, evidence.
    pub evidence: Vec<(Arc<str>, Option<Arc<str>>, Evidence)>,
    /// Files whose values a declaration takes in, besides those that its layers name: they are no values files of their own.
    pub claimed: Vec<Arc<str>>,
    /// Acknowledgements that answer nothing: malformed, or beside no release.
    pub idle: Vec<NotChecked>,
}

impl Reading {
    /// Adds another reading.
    pub fn extend(&mut self, other: Self) {
        add(&mut self.declarations, other.declarations);
        add(&mut self.gaps, other.gaps);
        add(&mut self.evidence, other.evidence);
        add(&mut self.claimed, other.claimed);
        add(&mut self.idle, other.idle);
    }
}

/// Adds items; into an empty list they are not moved.
fn add<T>(all: &mut Vec<T>, mut more: Vec<T>) {
    if all.is_empty() {
        *all = more;
    } else {
        all.append(&mut more);
    }
}

/// A reader of one form: declares what it finds in one file. Must not fail: what it cannot read is a gap.
pub type Reader = fn(&SourceFile, &Context<'_>) -> Reading;

/// The readers, each asked for every file that mentions Milvus.
const READERS: &[Reader] = &[
    argocd::read,
    command::read,
    elsewhere::read,
    evidence::read,
    flux::read,
    helmfile::read,
    k3s::read,
    kustomize::read,
    manifest::read,
    umbrella::read,
    unread::read,
    values_file::read,
    // One a line, sorted.
];

/// Reads a tree. `files` are the files that mention Milvus (or were named by the user), sorted by path. Where an umbrella chart is among them, files that
/// deploy it are read too.
#[must_use]
pub fn read_tree(tree: &dyn Tree, files: &[SourceFile]) -> Reading {
    let context = Context::new(tree, files);
    let all = read_files(&context);
    let deployers = deployers::find(tree, files, &all.declarations);
    if deployers.is_empty() {
        return settle(all, &context);
    }
    let mut files = [files, &deployers].concat();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let context = Context::new(tree, &files);
    settle(read_files(&context), &context)
}

/// What all readers find in each file.
fn read_files(context: &Context<'_>) -> Reading {
    let read = |file: &SourceFile| {
        let mut reading = Reading::default();
        for reader in READERS {
            reading.extend(reader(file, context));
        }
        reading
    };
    let readings = each(context.files, |_, file| read(file));
    let mut all = Reading { declarations: Vec::with_capacity(readings.iter().map(|reading| reading.declarations.len()).sum()), ..Reading::default() };
    for mut reading in readings {
        all.declarations.append(&mut reading.declarations);
        all.extend(reading);
    }
    all
}

/// Joins what several files say about the same.
fn settle(mut all: Reading, context: &Context<'_>) -> Reading {
    gitops::drop_deployed_charts(&mut all);
    evidence::join(&mut all);
    umbrella::leave_out_deployed_copies(&mut all);
    values_file::leave_out_claimed(&mut all);
    acknowledgement::join(&mut all, context);
    all.declarations.iter_mut().for_each(templated::tell);
    all
}
