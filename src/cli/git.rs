//! The state before a change: the merge base of a revision and HEAD as a tree, read from git objects through the `git` program.

mod way_out;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use milvus_guard::model::declaration::{NotChecked, NotCheckedKind};
use milvus_guard::source::{ReadError, SourceFile, Tree};

use super::content::{self, BEGINNING_BYTES, Content, NameKind};
use super::scope::{Scope, normalize};
use super::texts::Texts;
use super::walk::{Walked, WorkingTree, file_name, text_of};

/// Links within links that are followed.
const MAX_LINKS: usize = 8;

/// Why there is no state before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("--base needs a git work tree, and `{0}` is in none; run it in a clone, or give the state before with --before")]
    NoRepository(String),
    #[error("--base needs the `git` program, and it cannot be started: {0}; install git, or put it into PATH")]
    NoProgram(String),
    #[error("{0}")]
    Malformed(String),
    #[error("git knows no commit `{revision}` in `{root}`{}{way_out}", shallow_note(*.is_shallow))]
    UnknownRevision { revision: String, root: String, is_shallow: bool, way_out: String },
    #[error("the current branch of `{0}` has no commit yet, so there is nothing to compare; commit first, or leave --base out")]
    NoHead(String),
    #[error("`{revision}` and HEAD have no merge base here, since this clone is shallow; fetch the history first:\n    {fetch}")]
    Shallow { revision: String, fetch: String },
    #[error("`{0}` and HEAD have no common history; name a revision that the branch started from")]
    Unrelated(String),
    #[error("git does not trust `{0}`, since it belongs to another user; allow it:\n    git config --global --add safe.directory {0}")]
    NotTrusted(String),
    #[error("`git {what}` failed in `{root}`: {reason}\n  run it there to see more; `git fsck` tells whether the repository is sound")]
    Failed { what: String, root: String, reason: String },
}

fn shallow_note(is_shallow: bool) -> &'static str {
    if is_shallow { " (this clone is shallow)" } else { "" }
}

/// A revision and the working tree, compared: what lies in the merge base, and which of it differs.
pub(crate) struct Comparison {
    /// The merge base, in full.
    pub(crate) commit: String,
    /// Files of the merge base.
    objects: HashMap<Arc<str>, Object>,
    /// Paths of all files of the merge base, sorted.
    paths: Vec<Arc<str>>,
    /// Paths that differ between the merge base and the working tree.
    changed: HashSet<String>,
    /// Tracked files that git would ignore.
    ignored_but_tracked: Vec<String>,
    root: std::path::PathBuf,
}

struct Object {
    kind: ObjectKind,
    id: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectKind {
    File,
    Link,
    Submodule,
}

impl Comparison {
    /// Finds the merge base of `revision` and HEAD, and what differs from it.
    ///
    /// # Errors
    /// When git cannot tell them.
    pub(crate) fn open(scope: &Scope, revision: &str) -> Result<Self, GitError> {
        if !scope.is_git {
            return Err(GitError::NoRepository(scope.root.display().to_string()));
        }
        let git = Git { root: &scope.root };
        let commit = git.merge_base(revision)?;
        let tree = git.output(&["ls-tree", "-r", "-z", "--full-tree", &commit])?;
        let objects = parse_tree(&tree);
        let mut paths: Vec<Arc<str>> = objects.keys().cloned().collect();
        paths.sort_unstable();
        // Compared by the index alone: no object is read (one may be missing) and no filter runs. What was only touched counts as changed, and is read.
        let differing = git.output(&["diff-index", "--name-only", "-z", "--no-renames", "--ignore-submodules=dirty", &commit, "--"])?;
        let ignored = git.output(&["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"])?;
        Ok(Self {
            commit,
            objects,
            paths,
            changed: names(&differing).map(str::to_owned).collect(),
            ignored_but_tracked: names(&ignored).map(str::to_owned).collect(),
            root: scope.root.clone(),
        })
    }

    /// Files of the scope that git tracks, now or in the merge base, and that a walk leaves out since git would ignore them.
    pub(crate) fn left_out(&self, scope: &Scope, walked: &WorkingTree) -> Vec<String> {
        let tracked = self.paths.iter().map(|path| &**path).chain(self.ignored_but_tracked.iter().map(String::as_str));
        let mut left_out: Vec<String> =
            tracked.filter(|path| scope.holds(path) && !walked.holds(path) && walked.has_regular_file(path)).map(str::to_owned).collect();
        left_out.sort_unstable();
        left_out.dedup();
        left_out
    }

    /// Whether files outside of a scope are gone that a release of the scope may have been kept in.
    pub(crate) fn lost_outside(&self, scope: &Scope, walked: &WorkingTree) -> bool {
        let may_declare = |path: &str| content::kind_of(file_name(path)) != NameKind::Other;
        let is_gone = |path: &str| self.objects.contains_key(path) && may_declare(path) && !walked.has_regular_file(path);
        self.changed.iter().any(|path| !scope.holds(path) && is_gone(path))
    }

    /// The state before. What did not change is taken from the state after, so that it is read and parsed once.
    pub(crate) fn read<'w>(self, scope: &Scope, after: &'w Walked, limit_bytes: u64) -> Base<'w> {
        let mut paths = self.paths;
        let mut candidates = Vec::new();
        let is_still = |path: &Arc<str>| !self.changed.contains(&**path) && self.objects.get(path).is_some_and(|object| object.kind == ObjectKind::Submodule);
        for submodule in paths.iter().filter(|path| is_still(path)).cloned().collect::<Vec<_>>() {
            // Its files are none of this repository's objects, but they are what they were.
            paths.extend(after.tree.paths().iter().filter(|path| is_within(path, &submodule)).cloned());
            candidates.extend(after.candidates.iter().filter(|file| is_within(&file.path, &submodule)).cloned());
        }
        paths.sort_unstable();
        let batch = Mutex::new(Batch { root: self.root, limit_bytes, process: None });
        let tree = GitTree { objects: self.objects, paths, changed: self.changed, working: &after.tree, batch, texts: Texts::default() };
        let mut gaps = Vec::new();
        for path in tree.paths.iter().filter(|path| scope.holds(path)) {
            let Some(object) = tree.objects.get(path) else { continue };
            if !tree.changed.contains(&**path) {
                candidates.extend(after.candidate(path).cloned());
                continue;
            }
            match tree.examine(path, object) {
                Ok(Some(text)) => match after.candidate(path) {
                    Some(same) if same.text == text => candidates.push(same.clone()),
                    _ => candidates.push(SourceFile::new(Arc::clone(path), text)),
                },
                Ok(None) => {}
                Err(gap) => gaps.push(gap),
            }
        }
        candidates.sort_unstable_by(|a: &SourceFile, b| a.path.cmp(&b.path));
        // What is read now is read as it was, also where it did not mention Milvus.
        for file in &after.candidates {
            match candidates.binary_search_by(|before| before.path.cmp(&file.path)) {
                Ok(at) => candidates.iter_mut().skip(at).take(1).for_each(|before| before.named_as_values |= file.named_as_values),
                Err(at) => {
                    if let Ok(text) = tree.read(&file.path) {
                        let before = SourceFile::new(Arc::clone(&file.path), text);
                        candidates.insert(at, if file.named_as_values { before.into_values() } else { before });
                    }
                }
            }
        }
        gaps.extend(tree.moved_submodules(&after.candidates));
        Base { tree, candidates, gaps }
    }
}

/// Whether a path lies in a folder.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The state before.
pub(crate) struct Base<'w> {
    /// Its tree.
    pub(crate) tree: GitTree<'w>,
    /// The files that mention Milvus, sorted by path.
    pub(crate) candidates: Vec<SourceFile>,
    /// What could not be looked at.
    pub(crate) gaps: Vec<NotChecked>,
}

/// A commit as a tree.
pub(crate) struct GitTree<'w> {
    objects: HashMap<Arc<str>, Object>,
    paths: Vec<Arc<str>>,
    changed: HashSet<String>,
    working: &'w WorkingTree,
    batch: Mutex<Batch>,
    texts: Texts,
}

impl GitTree<'_> {
    /// Whether a changed file mentioned Milvus before; its text, or why it cannot be told.
    fn examine(&self, path: &Arc<str>, object: &Object) -> Result<Option<Arc<str>>, NotChecked> {
        let kind = content::kind_of(file_name(path));
        if object.kind != ObjectKind::File || kind == NameKind::Other {
            return Ok(None);
        }
        let before = |reason: String| format!("the file cannot be read: {reason}");
        let not_read = |reason: String| content::gap(path, NotCheckedKind::NotRead, reason);
        let blob = self.batch.lock().unwrap_or_else(PoisonError::into_inner).blob(&object.id);
        match blob {
            Ok(Blob::TooLarge { bytes, beginning }) => {
                let is_ours = content::mentions_milvus(&beginning) || content::mentions_milvus(path.as_bytes());
                if is_ours { Err(content::too_large(path, bytes, self.limit_bytes())) } else { Ok(None) }
            }
            Ok(Blob::All(bytes)) => {
                if kind == NameKind::Bare && !bytes.starts_with(b"#!") {
                    return Ok(None);
                }
                match content::examine(&bytes, kind, path) {
                    Content::Mentions(text) => Ok(Some(text.into())),
                    Content::Silent => Ok(None),
                    Content::NotText(reason) => Err(not_read(before(reason.to_owned()))),
                }
            }
            Err(reason) => Err(not_read(before(reason))),
        }
    }

    fn limit_bytes(&self) -> u64 {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner).limit_bytes
    }

    /// Submodules that now stand at another commit and hold files that mention Milvus: what these files were before lies in another repository.
    fn moved_submodules(&self, after: &[SourceFile]) -> Vec<NotChecked> {
        let mut gaps = Vec::new();
        for path in &self.paths {
            let is_moved = self.changed.contains(&**path) && self.objects.get(path).is_some_and(|object| object.kind == ObjectKind::Submodule);
            if is_moved && after.iter().any(|file| is_within(&file.path, path)) {
                let reason = "the submodule moved to another commit; what its files were before is not in this repository: run the check in the submodule";
                gaps.push(content::gap(path, NotCheckedKind::PartlyChecked, reason.to_owned()));
            }
        }
        gaps
    }

    fn fetch(&self, path: &str, links: usize) -> Result<Arc<str>, ReadError> {
        let Some(object) = self.objects.get(path) else { return self.fetch_elsewhere(path, links) };
        match object.kind {
            ObjectKind::Submodule => Err(ReadError::Failed("it is a submodule".to_owned())),
            ObjectKind::Link => {
                let target = self.link_target(object)?;
                self.fetch_link(path, &target, "", links)
            }
            ObjectKind::File if !self.changed.contains(path) => self.working.read(path),
            ObjectKind::File => self.blob_text(object),
        }
    }

    /// A path that is no file itself: it may lead through a link to a folder, or into a submodule that did not move.
    fn fetch_elsewhere(&self, path: &str, links: usize) -> Result<Arc<str>, ReadError> {
        for (at, _) in path.match_indices('/') {
            let (folder, rest) = path.split_at(at);
            let Some(object) = self.objects.get(folder) else { continue };
            return match object.kind {
                ObjectKind::Link => {
                    let target = self.link_target(object)?;
                    self.fetch_link(folder, &target, rest, links)
                }
                ObjectKind::Submodule if !self.changed.contains(folder) => self.working.read(path),
                ObjectKind::Submodule => Err(ReadError::Failed("it lies in a submodule that moved to another commit".to_owned())),
                ObjectKind::File => Err(ReadError::Missing),
            };
        }
        Err(ReadError::Missing)
    }

    fn link_target(&self, object: &Object) -> Result<String, ReadError> {
        self.blob_text(object).map(|text| text.to_string())
    }

    fn fetch_link(&self, link: &str, target: &str, rest: &str, links: usize) -> Result<Arc<str>, ReadError> {
        if links >= MAX_LINKS {
            return Err(ReadError::Failed("it is a symbolic link that leads through too many others".to_owned()));
        }
        let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = if target.starts_with('/') { None } else { normalize(format!("{folder}/{target}{rest}").trim_start_matches('/')) };
        let joined = joined.ok_or_else(|| ReadError::Failed("it is a symbolic link out of the tree".to_owned()))?;
        self.fetch(&joined, links + 1)
    }

    fn blob_text(&self, object: &Object) -> Result<Arc<str>, ReadError> {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        match batch.blob(&object.id).map_err(ReadError::Failed)? {
            Blob::All(bytes) => text_of(bytes),
            Blob::TooLarge { bytes, .. } => Err(ReadError::TooLarge { bytes, limit_bytes: batch.limit_bytes }),
        }
    }
}

impl Tree for GitTree<'_> {
    fn paths(&self) -> &[Arc<str>] {
        &self.paths
    }

    fn read(&self, path: &str) -> Result<Arc<str>, ReadError> {
        self.texts.read(path, |path| self.fetch(path, 0))
    }
}

/// One long-lived `git cat-file --batch`, started when first needed and again after a failure.
struct Batch {
    root: std::path::PathBuf,
    limit_bytes: u64,
    process: Option<BatchProcess>,
}

struct BatchProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

enum Blob {
    All(Vec<u8>),
    TooLarge { bytes: u64, beginning: Vec<u8> },
}

impl Batch {
    /// The content of a blob, or in words why it cannot be had.
    fn blob(&mut self, id: &str) -> Result<Blob, String> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => BatchProcess::start(&self.root)?,
        };
        let blob = process.blob(id, self.limit_bytes);
        // After a failure, or with half an object still to come, the stream is of no use any more.
        if matches!(blob, Ok(Blob::All(_))) {
            self.process = Some(process);
        }
        blob
    }
}

impl BatchProcess {
    fn start(root: &Path) -> Result<Self, String> {
        let mut command = Git { root }.command(&["cat-file", "--batch"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self { child, input, output: BufReader::new(output) }),
            _ => Err("git gave no pipe".to_owned()),
        }
    }

    fn blob(&mut self, id: &str, limit_bytes: u64) -> Result<Blob, String> {
        let broken = |_| "git could not read the object; the repository may be damaged: run `git fsck`".to_owned();
        self.input.write_all(format!("{id}\n").as_bytes()).and_then(|()| self.input.flush()).map_err(broken)?;
        let mut header = String::new();
        (&mut self.output).take(1024).read_line(&mut header).map_err(broken)?;
        let mut words = header.split_whitespace().skip(1);
        let size: u64 = match (words.next(), words.next().and_then(|size| size.parse().ok())) {
            (Some("blob"), Some(size)) => size,
            (Some("missing"), _) => return Err("this clone does not have the object; run `git fetch --refetch`".to_owned()),
            (Some(other), Some(_)) => return Err(format!("the object is a {other}, not a file")),
            _ => return Err(broken(std::io::ErrorKind::InvalidData.into())),
        };
        if size > limit_bytes {
            let mut beginning = Vec::new();
            (&mut self.output).take(size.min(BEGINNING_BYTES as u64)).read_to_end(&mut beginning).map_err(broken)?;
            return Ok(Blob::TooLarge { bytes: size, beginning });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        (&mut self.output).take(size + 1).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != size + 1 || bytes.pop() != Some(b'\n') {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Blob::All(bytes))
    }
}

impl Drop for BatchProcess {
    fn drop(&mut self) {
        // It may be writing half an object: it is ended rather than waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `git` program in one work tree, in an environment where nothing of the repository or the caller's shell makes it run or fetch anything.
struct Git<'a> {
    root: &'a Path,
}

impl Git<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        // Hooks hand their GIT_DIR and GIT_INDEX_FILE on; GIT_EXTERNAL_DIFF, GIT_SSH_COMMAND and the like name programs.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1");
        command.arg("--no-pager").arg("--literal-pathspecs").arg("--no-replace-objects");
        for setting in [
            "core.fsmonitor=false",
            "core.hooksPath=/dev/null",
            "core.untrackedCache=false",
            "diff.relative=false",
            "protocol.allow=never",
            "submodule.recurse=false",
        ] {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(self.root).args(arguments).stdin(Stdio::null());
        command
    }

    /// Standard output of a successful run.
    fn output(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let what = || arguments.first().copied().unwrap_or_default().to_owned();
        let output = self.command(arguments).output().map_err(|error| GitError::NoProgram(super::walk::plain(&error)))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let reason = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).take(6).collect::<Vec<_>>().join("\n    ");
        let root = self.root.display().to_string();
        Err(GitError::Failed { what: what(), root, reason: if reason.is_empty() { output.status.to_string() } else { reason } })
    }

    /// The first line of a run's output; `None` when it fails.
    fn line(&self, arguments: &[&str]) -> Result<Option<String>, GitError> {
        match self.output(arguments) {
            Ok(output) => Ok(String::from_utf8_lossy(&output).lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())),
            Err(GitError::Failed { root, reason, .. }) if reason.contains("dubious ownership") => Err(GitError::NotTrusted(root)),
            Err(GitError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn merge_base(&self, revision: &str) -> Result<String, GitError> {
        if let Some(reason) = way_out::malformed(revision) {
            return Err(GitError::Malformed(reason));
        }
        let root = || self.root.display().to_string();
        let commit_of = |name: &str| self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")]);
        let Some(inside) = self.line(&["rev-parse", "--is-shallow-repository"])? else {
            return Err(GitError::NoRepository(root()));
        };
        let is_shallow = inside == "true";
        let Some(head) = commit_of("HEAD")? else { return Err(GitError::NoHead(root())) };
        let Some(commit) = commit_of(revision)? else {
            let way_out = way_out::unknown(revision, &self.remotes()?, is_shallow);
            return Err(GitError::UnknownRevision { revision: revision.to_owned(), root: root(), is_shallow, way_out });
        };
        if let Some(base) = self.line(&["merge-base", &commit, &head])? {
            return Ok(base);
        }
        if is_shallow {
            return Err(GitError::Shallow { revision: revision.to_owned(), fetch: way_out::history(revision, &self.remotes()?) });
        }
        Err(GitError::Unrelated(revision.to_owned()))
    }

    fn remotes(&self) -> Result<Vec<String>, GitError> {
        self.output(&["remote"]).map(|output| String::from_utf8_lossy(&output).lines().map(str::to_owned).collect())
    }
}

/// The entries of `git ls-tree -r -z`: `mode SP type SP id TAB path NUL`. Names that are not UTF-8 are left out: nothing can refer to them.
fn parse_tree(output: &[u8]) -> HashMap<Arc<str>, Object> {
    let mut objects = HashMap::new();
    for entry in names(output) {
        let Some((head, path)) = entry.split_once('\t') else { continue };
        let mut words = head.split(' ');
        let (Some(mode), Some(_), Some(id)) = (words.next(), words.next(), words.next()) else { continue };
        let kind = match mode {
            "120000" => ObjectKind::Link,
            "160000" => ObjectKind::Submodule,
            _ => ObjectKind::File,
        };
        objects.insert(Arc::from(path), Object { kind, id: id.into() });
    }
    objects
}

/// NUL-terminated names that are UTF-8.
fn names(output: &[u8]) -> impl Iterator<Item = &str> {
    output.split(|byte| *byte == 0).filter(|name| !name.is_empty()).filter_map(|name| std::str::from_utf8(name).ok())
}
