//! The working tree: walked in parallel, each file read once, skipped by content before anything is parsed.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use ignore::{DirEntry, ParallelVisitor, ParallelVisitorBuilder, WalkBuilder, WalkState};

use milvus_guard::model::declaration::{NotChecked, NotCheckedKind};
use milvus_guard::source::{ReadError, SourceFile, Tree, UTF_16};

use super::content::{self, BEGINNING_BYTES, Content, NameKind};
use super::scope::{Scope, relative_to};
use super::texts::Texts;

/// Folders of version control systems: no part of the tree.
const NOT_OF_THE_TREE: [&str; 4] = [".git", ".hg", ".svn", ".jj"];

/// A folder on disk as a tree. Files are served on demand, within the bounds and never from outside the root.
pub(crate) struct WorkingTree {
    root: PathBuf,
    limit_bytes: u64,
    paths: Vec<Arc<str>>,
    texts: Texts,
}

/// What a walk found.
pub(crate) struct Walked {
    /// The tree.
    pub(crate) tree: WorkingTree,
    /// The files that mention Milvus, sorted by path.
    pub(crate) candidates: Vec<SourceFile>,
    /// What could not be looked at.
    pub(crate) gaps: Vec<NotChecked>,
}

/// Walks the scope and reads what can matter.
pub(crate) fn walk(scope: &Scope, limit_bytes: u64) -> Walked {
    walk_while(scope, limit_bytes, usize::MAX).0
}

/// As [`walk`]; nothing where there are more files and folders than this.
pub(crate) fn walk_at_most(scope: &Scope, limit_bytes: u64, entries: usize) -> Option<Walked> {
    let (walked, is_complete) = walk_while(scope, limit_bytes, entries);
    is_complete.then_some(walked)
}

/// Walks until there are too many entries; and whether there were not.
fn walk_while(scope: &Scope, limit_bytes: u64, entries: usize) -> (Walked, bool) {
    let seen = AtomicUsize::new(0);
    let mut found = Found::default();
    let mut looker = Looker { root: &scope.root, limit_bytes, buffer: Vec::new(), found: Found::default() };
    for file in &scope.files {
        looker.named(file);
    }
    found.extend(std::mem::take(&mut looker.found));
    if let Some((first, rest)) = scope.folders.split_first() {
        let all = Mutex::new(Found::default());
        let mut builder = WalkBuilder::new(scope.root.join(first));
        for folder in rest {
            builder.add(scope.root.join(folder));
        }
        builder.hidden(false).ignore(false).git_global(false).follow_links(false);
        builder.filter_entry(|entry| !NOT_OF_THE_TREE.iter().any(|name| entry.depth() > 0 && entry.file_name() == *name));
        builder.build_parallel().visit(&mut Lookers { root: &scope.root, limit_bytes, all: &all, seen: &seen, most: entries });
        found.extend(all.into_inner().unwrap_or_else(PoisonError::into_inner));
    }
    (found.finish(scope.root.clone(), limit_bytes), seen.into_inner() <= entries)
}

impl Walked {
    /// Looks at more files, as the walk would have.
    pub(crate) fn add(&mut self, paths: &[String]) {
        self.look_at(paths, |looker, path| {
            let path: Arc<str> = path.into();
            looker.found.paths.push(Arc::clone(&path));
            let real = looker.root.join(&*path);
            looker.look(&path, &real, content::kind_of(file_name(&path)), false);
        });
    }

    /// Looks at more files, which the user named.
    pub(crate) fn add_named(&mut self, paths: &[String]) {
        self.look_at(paths, |looker, path| looker.named(path));
    }

    fn look_at(&mut self, paths: &[String], look: impl Fn(&mut Looker<'_>, &str)) {
        let mut looker = Looker { root: &self.tree.root, limit_bytes: self.tree.limit_bytes, buffer: Vec::new(), found: Found::default() };
        paths.iter().for_each(|path| look(&mut looker, path));
        let found = looker.found;
        self.tree.paths.extend(found.paths);
        self.tree.paths.sort_unstable();
        self.tree.paths.dedup();
        self.gaps.extend(found.gaps);
        for file in found.candidates {
            self.push(file);
        }
    }

    /// The file of this path, if it mentions Milvus.
    pub(crate) fn candidate(&self, path: &str) -> Option<&SourceFile> {
        let at = self.candidates.binary_search_by(|file| (*file.path).cmp(path)).ok()?;
        self.candidates.get(at)
    }

    /// Puts a file among those that are read, in its order.
    pub(crate) fn push(&mut self, file: SourceFile) {
        self.tree.texts.put(&file.path, &file.text);
        match self.candidates.binary_search_by(|known| known.path.cmp(&file.path)) {
            Ok(at) => {
                if let Some(known) = self.candidates.get_mut(at) {
                    *known = file;
                }
            }
            Err(at) => self.candidates.insert(at, file),
        }
    }
}

/// What one thread found.
#[derive(Default)]
struct Found {
    paths: Vec<Arc<str>>,
    candidates: Vec<SourceFile>,
    gaps: Vec<NotChecked>,
    /// Gaps that matter only where Milvus is near, since nothing is known of their content.
    doubts: Vec<NotChecked>,
    /// Links to files within the root, with their targets.
    links: Vec<(Arc<str>, String)>,
}

impl Found {
    fn extend(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.candidates.extend(other.candidates);
        self.gaps.extend(other.gaps);
        self.doubts.extend(other.doubts);
        self.links.extend(other.links);
    }

    fn finish(mut self, root: PathBuf, limit_bytes: u64) -> Walked {
        self.paths.sort_unstable();
        self.paths.dedup();
        // A link to a file that is looked at anyway adds nothing; one to a file that git ignores is the only way to it.
        let links = std::mem::take(&mut self.links);
        let mut looker = Looker { root: &root, limit_bytes, buffer: Vec::new(), found: Self::default() };
        for (link, target) in links {
            if self.paths.binary_search_by(|path| path.as_ref().cmp(target.as_str())).is_err() {
                looker.look(&link, &root.join(target), content::kind_of(file_name(&link)), false);
            }
        }
        self.extend(looker.found);
        self.candidates.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.candidates.dedup_by(|a, b| a.path == b.path);
        let candidates = self.candidates;
        self.gaps.extend(self.doubts.into_iter().filter(|doubt| matters(&doubt.file, &candidates)));
        self.gaps.sort_by(|a, b| a.file.cmp(&b.file));
        let mut texts = Texts::default();
        candidates.iter().for_each(|file| texts.put(&file.path, &file.text));
        Walked { tree: WorkingTree { root, limit_bytes, paths: self.paths, texts }, candidates, gaps: self.gaps }
    }
}

/// Whether something unseen may concern Milvus: its path says so, or a file that mentions Milvus lies in or below the same folder.
fn matters(path: &str, candidates: &[SourceFile]) -> bool {
    if content::mentions_milvus(path.as_bytes()) {
        return true;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let start = candidates.partition_point(|file| *file.path < *folder);
    candidates.get(start).is_some_and(|file| folder.is_empty() || file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

struct Lookers<'a> {
    root: &'a Path,
    limit_bytes: u64,
    all: &'a Mutex<Found>,
    /// Entries so far, of all threads.
    seen: &'a AtomicUsize,
    most: usize,
}

impl<'a> ParallelVisitorBuilder<'a> for Lookers<'a> {
    fn build(&mut self) -> Box<dyn ParallelVisitor + 'a> {
        let looker = Looker { root: self.root, limit_bytes: self.limit_bytes, buffer: Vec::new(), found: Found::default() };
        Box::new(Visitor { looker, all: self.all, seen: self.seen, most: self.most })
    }
}

struct Visitor<'a> {
    looker: Looker<'a>,
    all: &'a Mutex<Found>,
    seen: &'a AtomicUsize,
    most: usize,
}

impl ParallelVisitor for Visitor<'_> {
    fn visit(&mut self, entry: Result<DirEntry, ignore::Error>) -> WalkState {
        if self.seen.fetch_add(1, Ordering::Relaxed) >= self.most {
            return WalkState::Quit;
        }
        match entry {
            Ok(entry) => self.looker.entry(&entry),
            Err(error) => self.looker.failed(&error),
        }
        WalkState::Continue
    }
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        let found = std::mem::take(&mut self.looker.found);
        self.all.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

/// Looks at files one by one, with a buffer of its own.
struct Looker<'a> {
    root: &'a Path,
    limit_bytes: u64,
    buffer: Vec<u8>,
    found: Found,
}

impl Looker<'_> {
    fn entry(&mut self, entry: &DirEntry) {
        let Some(file_type) = entry.file_type() else { return };
        if file_type.is_dir() {
            return;
        }
        let Some(relative) = relative_to(entry.path(), self.root) else {
            let shown: Arc<str> = entry.path().strip_prefix(self.root).unwrap_or(entry.path()).to_string_lossy().into();
            let reason = "its name is not UTF-8, so it cannot be named in a report; rename it".to_owned();
            return self.found.doubts.push(content::gap(&shown, NotCheckedKind::NotRead, reason));
        };
        let path: Arc<str> = relative.into();
        let kind = content::kind_of(file_name(&path));
        if file_type.is_file() {
            self.found.paths.push(Arc::clone(&path));
            self.look(&path, entry.path(), kind, false);
        } else if file_type.is_symlink() {
            self.link(&path, entry.path(), kind);
        } else if kind != NameKind::Other {
            let reason = "it is no regular file (a pipe, a socket or a device), so it was not opened; put a file there".to_owned();
            self.found.doubts.push(content::gap(&path, NotCheckedKind::NotRead, reason));
        }
    }

    /// A file that the user named: looked at whatever its name is, and handed on even when it does not mention Milvus.
    fn named(&mut self, path: &str) {
        let path: Arc<str> = path.into();
        self.found.paths.push(Arc::clone(&path));
        let kind = match content::kind_of(file_name(&path)) {
            NameKind::Other | NameKind::Bare => NameKind::Readable,
            kind => kind,
        };
        let real = self.root.join(&*path);
        self.look(&path, &real, kind, true);
    }

    fn look(&mut self, path: &Arc<str>, real: &Path, kind: NameKind, was_named: bool) {
        if kind == NameKind::Other {
            return;
        }
        let loaded = load(real, self.limit_bytes, kind, &mut self.buffer);
        let bytes = self.buffer.as_slice();
        match loaded {
            Ok(Loaded::All) => match content::examine(bytes, kind, path) {
                Content::Mentions(text) => self.found.candidates.push(SourceFile::new(Arc::clone(path), text.into())),
                Content::NotText(reason) => {
                    self.found.gaps.push(content::gap(path, NotCheckedKind::NotRead, format!("the file mentions Milvus, but {reason}")))
                }
                Content::Silent if was_named && content::is_utf16(bytes) => {
                    self.found.gaps.push(content::gap(path, NotCheckedKind::NotRead, UTF_16.to_owned()));
                }
                Content::Silent => {
                    if was_named && let Ok(text) = std::str::from_utf8(bytes) {
                        self.found.candidates.push(SourceFile::new(Arc::clone(path), text.into()));
                    }
                }
            },
            Ok(Loaded::TooLarge(size)) => {
                if content::mentions_milvus(bytes) || content::mentions_milvus(path.as_bytes()) {
                    self.found.gaps.push(content::too_large(path, size, self.limit_bytes));
                }
            }
            Ok(Loaded::NoScript) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let reason = format!("the file cannot be read: {}; make it readable, or leave it out of the paths", plain(&error));
                self.found.gaps.push(content::gap(path, NotCheckedKind::NotRead, reason));
            }
        }
    }

    fn link(&mut self, path: &Arc<str>, real: &Path, kind: NameKind) {
        let mut doubt = |reason: &str| self.found.doubts.push(content::gap(path, NotCheckedKind::NotRead, reason.to_owned()));
        let target = match std::fs::canonicalize(real) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if kind != NameKind::Other {
                    doubt("it is a symbolic link to nothing; point it at a file, or remove it");
                }
                return;
            }
            Err(error) => return doubt(&format!("it is a symbolic link that cannot be followed: {}; remove it, or point it at a file", plain(&error))),
        };
        let metadata = std::fs::metadata(&target);
        let is_folder = metadata.as_ref().is_ok_and(Metadata::is_dir);
        if is_folder && real.starts_with(&target) {
            return doubt("it is a symbolic link back to a folder above it, so it was not followed; remove it");
        }
        match relative_to(&target, self.root) {
            None if is_folder || kind != NameKind::Other => {
                doubt("it is a symbolic link out of the tree, so it was not followed; copy what it points at into the tree")
            }
            Some(target) if metadata.as_ref().is_ok_and(Metadata::is_file) => {
                self.found.paths.push(Arc::clone(path));
                self.found.links.push((Arc::clone(path), target));
            }
            _ => {}
        }
    }

    fn failed(&mut self, error: &ignore::Error) {
        let Some((path, cause)) = path_and_cause(error) else { return };
        if cause.kind() == ErrorKind::NotFound {
            return;
        }
        let shown: Arc<str> = relative_to(path, self.root).map_or_else(|| path.to_string_lossy().into(), Into::into);
        let shown = if shown.is_empty() { ".".into() } else { shown };
        let reason = format!("it cannot be looked into: {}; make it readable, or leave it out of the paths", plain(cause));
        self.found.gaps.push(content::gap(&shown, NotCheckedKind::NotRead, reason));
    }
}

fn path_and_cause(error: &ignore::Error) -> Option<(&Path, &std::io::Error)> {
    match error {
        ignore::Error::WithPath { path, err } => match err.as_ref() {
            ignore::Error::Io(cause) => Some((path, cause)),
            inner => path_and_cause(inner),
        },
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_and_cause(err),
        _ => None,
    }
}

/// What an I/O error says, without the number of the operating system.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

enum Loaded {
    /// The buffer holds the whole file.
    All,
    /// The buffer holds the beginning of a file of this size.
    TooLarge(u64),
    /// A file without extension that is no script.
    NoScript,
}

/// Reads a regular file into the buffer.
fn load(path: &Path, limit_bytes: u64, kind: NameKind, buffer: &mut Vec<u8>) -> std::io::Result<Loaded> {
    buffer.clear();
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if kind == NameKind::Bare {
        let mut start = [0; 2];
        if size < 2 || file.read_exact(&mut start).is_err() || &start != b"#!" {
            return Ok(Loaded::NoScript);
        }
        buffer.extend_from_slice(&start);
    }
    if size > limit_bytes {
        file.take(BEGINNING_BYTES as u64).read_to_end(buffer)?;
        return Ok(Loaded::TooLarge(size));
    }
    buffer.reserve(usize::try_from(size).unwrap_or_default() + 1);
    // A file may grow while it is read.
    file.take(limit_bytes.saturating_add(1)).read_to_end(buffer)?;
    let read = buffer.len() as u64;
    if read > limit_bytes { Ok(Loaded::TooLarge(read)) } else { Ok(Loaded::All) }
}

impl WorkingTree {
    /// Whether the walk saw this path.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.paths.binary_search_by(|known| known.as_ref().cmp(path)).is_ok()
    }

    /// Whether a regular file lies at this path.
    pub(crate) fn has_regular_file(&self, path: &str) -> bool {
        std::fs::symlink_metadata(self.root.join(path)).is_ok_and(|metadata| metadata.is_file())
    }

    fn fetch(&self, path: &str) -> Result<Arc<str>, ReadError> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::Missing,
            _ => ReadError::Failed(plain(&error)),
        };
        let real = std::fs::canonicalize(self.root.join(path)).map_err(failed)?;
        if !real.starts_with(&self.root) {
            return Err(ReadError::Failed("it is a symbolic link out of the tree".to_owned()));
        }
        if !std::fs::metadata(&real).map_err(failed)?.is_file() {
            return Err(ReadError::Failed("it is no regular file".to_owned()));
        }
        let mut buffer = Vec::new();
        match load(&real, self.limit_bytes, NameKind::Readable, &mut buffer).map_err(failed)? {
            Loaded::TooLarge(bytes) => Err(ReadError::TooLarge { bytes, limit_bytes: self.limit_bytes }),
            Loaded::All | Loaded::NoScript => text_of(buffer),
        }
    }
}

/// Reads a file that the user named on the command line; it may be a pipe (`-f <(...)`).
///
/// # Errors
/// When it cannot be read, is larger than the limit, or is no text.
pub(crate) fn read_named(path: &Path, limit_bytes: u64) -> anyhow::Result<Arc<str>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read `{}`", path.display()))?;
    if bytes.len() as u64 > limit_bytes {
        anyhow::bail!("`{}` has more than {limit_bytes} bytes, which is more than Helm itself takes", path.display());
    }
    text_of(bytes).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Bytes as text.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<Arc<str>, ReadError> {
    if content::is_utf16(&bytes) {
        return Err(ReadError::Utf16);
    }
    if memchr::memchr(0, &bytes).is_some() {
        return Err(ReadError::NotText);
    }
    String::from_utf8(bytes).map(Into::into).map_err(|_| ReadError::NotText)
}

impl Tree for WorkingTree {
    fn paths(&self) -> &[Arc<str>] {
        &self.paths
    }

    fn read(&self, path: &str) -> Result<Arc<str>, ReadError> {
        self.texts.read(path, |path| self.fetch(path))
    }
}
