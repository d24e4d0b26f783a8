//! What is read of a tree: files of the scope, named values, standard input, and the rest of the tree where they refer to it.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use milvus_guard::model::declaration::{Declaration, Form, Lineage, NotCheckedKind};
use milvus_guard::source::nested::files_of_declaration;
use milvus_guard::source::{self, ReadError, Reading, SourceFile, Tree as _};

use super::content::{self, NameKind};
use super::scope::{Scope, relative_to};
use super::walk::{self, Walked};

/// Files and folders that are walked around the scope where no git tree bounds them.
const MAX_ENTRIES_OUTSIDE_GIT: usize = 20_000;

/// Files of a scope of which each is looked up.
const SMALL_SCOPE: usize = 500;

/// The path of standard input.
const STDIN: &str = "-";

/// What the user named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    /// Files and folders; `-` is standard input.
    pub(crate) paths: &'a [PathBuf],
    /// Files that hold values of the chart.
    pub(crate) values: &'a [PathBuf],
    /// Files above this size are not read.
    pub(crate) limit_bytes: u64,
}

/// Files, and what they say.
pub(crate) struct Inputs {
    /// What is judged.
    pub(crate) scope: Scope,
    /// What was walked: the scope, or the whole tree where the scope refers to other parts of it.
    pub(crate) walked_scope: Scope,
    pub(crate) walked: Walked,
    /// Named values and standard input, which no walk finds.
    given: Vec<SourceFile>,
    pub(crate) reading: Reading,
}

impl Inputs {
    /// Reads the scope; and the whole work tree when the scope leaves something open that other files may tell.
    ///
    /// # Errors
    /// For wrong usage, and when something that the user named cannot be read.
    pub(crate) fn read(named: Named<'_>) -> anyhow::Result<Self> {
        let on_disk: Vec<PathBuf> = named.paths.iter().filter(|path| !is_stdin(path)).chain(named.values).cloned().collect();
        let scope = Scope::resolve(&on_disk)?;
        let walked = walk::walk(&scope, named.limit_bytes);
        let mut given = named_values(named.values, &scope, &walked)?;
        if named.paths.iter().any(|path| is_stdin(path)) {
            given.push(from_stdin(named.limit_bytes)?);
        }
        let inputs = Self::of(scope.clone(), scope, walked, given);
        Ok(if inputs.leaves_something_open() { inputs.widened(named.limit_bytes) } else { inputs })
    }

    /// The same scope, read with the whole tree around it where that can be walked.
    pub(crate) fn widened(self, limit_bytes: u64) -> Self {
        let whole = self.scope.whole();
        // A folder outside of git may be as large as a home folder.
        let most = if whole.is_git { usize::MAX } else { MAX_ENTRIES_OUTSIDE_GIT };
        let Some(mut walked) = walk::walk_at_most(&whole, limit_bytes, most) else { return self };
        // What the user named is looked at whatever git ignores, and whether or not it mentions Milvus.
        let is_known = |file: &str| walked.candidate(file).is_some() || walked.gaps.iter().any(|gap| &*gap.file == file);
        let missing: Vec<String> = self.scope.files.iter().filter(|file| !is_known(file)).cloned().collect();
        walked.add_named(&missing);
        Self::of(self.scope, whole, walked, self.given)
    }

    fn of(scope: Scope, walked_scope: Scope, mut walked: Walked, given: Vec<SourceFile>) -> Self {
        for file in &given {
            walked.push(file.clone());
        }
        let reading = source::read_tree(&walked.tree, &walked.candidates);
        Self { scope, walked_scope, walked, given, reading }
    }

    /// Looks at more files, as the walk would have.
    pub(crate) fn add(&mut self, paths: &[String]) {
        if !paths.is_empty() {
            self.walked.add(paths);
            self.reading = source::read_tree(&self.walked.tree, &self.walked.candidates);
        }
    }

    /// Whether a path is judged.
    pub(crate) fn holds(&self, path: &str) -> bool {
        path == STDIN || self.scope.holds(path)
    }

    /// Whether a release is judged: something of it lies in the scope.
    pub(crate) fn concerns(&self, declaration: &Declaration) -> bool {
        files_of_declaration(declaration).any(|file| self.holds(file))
    }

    /// How many files were looked at.
    pub(crate) fn count_files(&self) -> usize {
        let beside_the_tree = self.walked.candidates.iter().filter(|file| *file.path == *STDIN).count();
        self.walked.tree.paths().iter().filter(|path| self.scope.holds(path)).count() + beside_the_tree
    }

    /// Whether the scope is a part of a tree and says something that other parts may complete: a repository, values, an overlay, who deploys a chart or takes
    /// a values file.
    fn leaves_something_open(&self) -> bool {
        let is_open = |kind: NotCheckedKind| kind == NotCheckedKind::PartlyChecked;
        let Reading { declarations, gaps, claimed, .. } = &self.reading;
        let may_be_told_elsewhere = |declaration: &Declaration| {
            declaration.chart.lineage == Lineage::Unknown
                || matches!(declaration.identity.form, Form::Umbrella | Form::Values)
                || declaration.gaps.iter().any(|gap| is_open(gap.kind))
        };
        let is_told_elsewhere = gaps.iter().any(|gap| is_open(gap.kind)) || declarations.iter().any(may_be_told_elsewhere);
        self.scope.is_a_part() && (is_told_elsewhere || self.has_unused_yaml(declarations, claimed))
    }

    /// Whether a YAML file of the scope that mentions Milvus, or any one of a small scope, belongs to no release: values need not mention it.
    fn has_unused_yaml(&self, declarations: &[Declaration], claimed: &[Arc<str>]) -> bool {
        let used: HashSet<&str> = declarations.iter().flat_map(files_of_declaration).chain(claimed).map(|file| &**file).collect();
        let all = self.walked.tree.paths();
        let named =
            all.iter().filter(|path| all.len() <= SMALL_SCOPE || self.scope.files.binary_search_by(|file| (**file).cmp(path)).is_ok()).map(|path| &**path);
        let mentioning = self.walked.candidates.iter().map(|file| &*file.path).filter(|path| *path != STDIN);
        named.chain(mentioning).any(|path| content::kind_of(walk::file_name(path)) == NameKind::Yaml && !used.contains(path))
    }
}

/// Whether a path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new(STDIN)
}

/// The files of `--values`.
fn named_values(files: &[PathBuf], scope: &Scope, walked: &Walked) -> anyhow::Result<Vec<SourceFile>> {
    let read = |file: &PathBuf| {
        let real = std::fs::canonicalize(file).with_context(|| format!("cannot look at `{}`", file.display()))?;
        let path = relative_to(&real, &scope.root).with_context(|| format!("`{}` cannot be named below `{}`", file.display(), scope.root.display()))?;
        let text = walked.tree.read(&path).with_context(|| format!("cannot read the values file `{}`", file.display()))?;
        Ok(SourceFile::new(path.into(), text).into_values())
    };
    files.iter().map(read).collect()
}

fn from_stdin(limit_bytes: u64) -> anyhow::Result<SourceFile> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.len() as u64 > limit_bytes {
        bail!("standard input has more than {limit_bytes} bytes; split it, or raise the limit with --max-file-size");
    }
    let path: Arc<str> = STDIN.into();
    match walk::text_of(bytes) {
        Ok(text) if text.trim().is_empty() => bail!("standard input is empty; did the command before the pipe fail?"),
        Ok(text) => Ok(SourceFile::new(path, text)),
        Err(error @ ReadError::Utf16) => bail!("standard input cannot be read: {error}"),
        Err(_) => bail!("standard input is not UTF-8 text; pipe in YAML, as `helm template` prints it"),
    }
}
