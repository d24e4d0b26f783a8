//! What `check` reads of the state after: files of the scope, named values, standard input, and the rest of the tree where they refer to it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use milvus_guard::model::declaration::{Lineage, NotCheckedKind};
use milvus_guard::source::{self, Reading, SourceFile, Tree as _};

use crate::cli::args::CheckArguments;
use crate::cli::scope::{Scope, relative_to};
use crate::cli::walk::{self, Walked};

/// The path of standard input.
const STDIN: &str = "-";

/// The state after: files, and what they say.
pub(super) struct Inputs {
    /// What is judged.
    pub(super) scope: Scope,
    /// What was walked: the scope, or the whole tree where the scope refers to other parts of it.
    pub(super) walked_scope: Scope,
    pub(super) walked: Walked,
    pub(super) reading: Reading,
}

impl Inputs {
    /// Reads the scope; and the whole work tree when the scope leaves something open that other files may tell.
    ///
    /// # Errors
    /// For wrong usage, and when something that the user named cannot be read.
    pub(super) fn read(arguments: &CheckArguments) -> anyhow::Result<Self> {
        let is_stdin = |path: &&PathBuf| path.as_path() == Path::new(STDIN);
        let has_stdin = arguments.paths.iter().any(|path| is_stdin(&path));
        if has_stdin && arguments.base.is_some() {
            bail!("--base compares files, and standard input has no state before; give it with --before");
        }
        let on_disk: Vec<PathBuf> = arguments.paths.iter().filter(|path| !is_stdin(path)).chain(&arguments.values).cloned().collect();
        let scope = Scope::resolve(&on_disk)?;
        let walked = walk::walk(&scope, arguments.max_file_size.0);
        let mut named = named_values(arguments, &scope, &walked)?;
        if has_stdin {
            named.push(from_stdin(arguments.max_file_size.0)?);
        }
        let inputs = Self::of(scope.clone(), scope, walked, &named);
        if !inputs.leaves_something_open() {
            return Ok(inputs);
        }
        let Self { scope, .. } = inputs;
        let whole = scope.whole();
        let mut walked = walk::walk(&whole, arguments.max_file_size.0);
        // What the user named is looked at whatever git ignores.
        let missing: Vec<String> = scope.files.iter().filter(|file| !walked.tree.holds(file)).cloned().collect();
        walked.add(&missing);
        Ok(Self::of(scope, whole, walked, &named))
    }

    fn of(scope: Scope, walked_scope: Scope, mut walked: Walked, named: &[SourceFile]) -> Self {
        for file in named {
            walked.push(file.clone());
        }
        let reading = source::read_tree(&walked.tree, &walked.candidates);
        Self { scope, walked_scope, walked, reading }
    }

    /// Looks at more files, as the walk would have.
    pub(super) fn add(&mut self, paths: &[String]) {
        if !paths.is_empty() {
            self.walked.add(paths);
            self.reading = source::read_tree(&self.walked.tree, &self.walked.candidates);
        }
    }

    /// Whether a path is judged.
    pub(super) fn holds(&self, path: &str) -> bool {
        path == STDIN || self.scope.holds(path)
    }

    /// How many files were looked at.
    pub(super) fn count_files(&self) -> usize {
        let beside_the_tree = self.walked.candidates.iter().filter(|file| *file.path == *STDIN).count();
        self.walked.tree.paths().iter().filter(|path| self.scope.holds(path)).count() + beside_the_tree
    }

    /// Whether the scope is a part of a work tree and says something that other parts may complete: a repository, values, an overlay.
    fn leaves_something_open(&self) -> bool {
        let is_open = |kind: NotCheckedKind| kind == NotCheckedKind::PartlyChecked;
        let Reading { declarations, gaps, .. } = &self.reading;
        let may_be_told_elsewhere = gaps.iter().any(|gap| is_open(gap.kind))
            || declarations.iter().any(|declaration| declaration.chart.lineage == Lineage::Unknown || declaration.gaps.iter().any(|gap| is_open(gap.kind)));
        self.scope.is_git && self.scope.is_a_part() && may_be_told_elsewhere
    }
}

/// The files of `--values`.
fn named_values(arguments: &CheckArguments, scope: &Scope, walked: &Walked) -> anyhow::Result<Vec<SourceFile>> {
    let read = |file: &PathBuf| {
        let real = std::fs::canonicalize(file).with_context(|| format!("cannot look at `{}`", file.display()))?;
        let path = relative_to(&real, &scope.root).with_context(|| format!("`{}` cannot be named below `{}`", file.display(), scope.root.display()))?;
        let text = walked.tree.read(&path).with_context(|| format!("cannot read the values file `{}`", file.display()))?;
        Ok(SourceFile::new(path.into(), text).into_values())
    };
    arguments.values.iter().map(read).collect()
}

fn from_stdin(limit_bytes: u64) -> anyhow::Result<SourceFile> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.len() as u64 > limit_bytes {
        bail!("standard input has more than {limit_bytes} bytes; split it, or raise the limit with --max-file-size");
    }
    let path: Arc<str> = STDIN.into();
    match walk::text_of(bytes) {
        Ok(text) => Ok(SourceFile::new(path, text)),
        Err(_) => bail!("standard input is not UTF-8 text; pipe in YAML, as `helm template` prints it"),
    }
}
