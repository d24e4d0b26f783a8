//! From the paths that were typed to the root of the tree and the parts of it that are judged.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use milvus_guard::source;

/// What `check` looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The root, absolute and without symbolic links: the git work tree that holds the paths, else the current folder where it does, else their common folder.
    pub(crate) root: PathBuf,
    /// Whether the root is a git work tree.
    pub(crate) is_git: bool,
    /// Folders below the root, `/`-separated, none inside another; `` is the root itself.
    pub(crate) folders: Vec<String>,
    /// Single files below the root.
    pub(crate) files: Vec<String>,
}

impl Scope {
    /// Resolves paths.
    ///
    /// # Errors
    /// When a path does not exist, cannot be opened, is no regular file or folder, or is not UTF-8.
    pub(crate) fn resolve(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut resolved = Vec::with_capacity(paths.len());
        for path in paths {
            let real = std::fs::canonicalize(path).with_context(|| format!("cannot look at `{}`", path.display()))?;
            let metadata = std::fs::metadata(&real).with_context(|| format!("cannot look at `{}`", path.display()))?;
            if metadata.is_dir() {
                std::fs::read_dir(&real).map(drop).with_context(|| format!("cannot look into `{}`", path.display()))?;
            } else if metadata.is_file() {
                std::fs::File::open(&real).map(drop).with_context(|| format!("cannot read `{}`", path.display()))?;
            } else {
                bail!("`{}` is neither a file nor a folder; pipe its content in and give `-` as the path", path.display());
            }
            resolved.push((real, metadata.is_dir()));
        }
        let (root, is_git) = root_of(&resolved)?;
        let mut folders = Vec::new();
        let mut files = Vec::new();
        for (path, is_folder) in &resolved {
            let relative = relative_to(path, &root).with_context(|| format!("`{}` cannot be named below `{}`", path.display(), root.display()))?;
            if *is_folder { folders.push(relative) } else { files.push(relative) }
        }
        folders.sort();
        folders.dedup_by(|later, earlier| is_below(later, earlier));
        files.sort();
        files.dedup();
        files.retain(|file| !folders.iter().any(|folder| is_below(file, folder)));
        Ok(Self { root, is_git, folders, files })
    }

    /// The whole tree below the root.
    pub(crate) fn whole(&self) -> Self {
        Self { folders: vec![String::new()], files: Vec::new(), ..self.clone() }
    }

    /// Whether there is more in the tree than the scope.
    pub(crate) fn is_a_part(&self) -> bool {
        !self.folders.iter().any(String::is_empty)
    }

    /// Whether a path below the root is part of the scope.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| is_below(path, folder)) || self.files.iter().any(|file| file == path)
    }
}

/// Whether `path` is `folder` or lies in it.
fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path relative to the root, `/`-separated; `None` when it is not below the root or not UTF-8.
pub(crate) fn relative_to(path: &Path, root: &Path) -> Option<String> {
    let mut relative = String::new();
    for part in path.strip_prefix(root).ok()?.components() {
        let Component::Normal(part) = part else { return None };
        if !relative.is_empty() {
            relative.push('/');
        }
        relative.push_str(part.to_str()?);
    }
    Some(relative)
}

fn root_of(paths: &[(PathBuf, bool)]) -> anyhow::Result<(PathBuf, bool)> {
    let holds_all = |root: &Path| paths.iter().all(|(path, _)| path.starts_with(root));
    let current = std::env::current_dir().and_then(std::fs::canonicalize).context("cannot tell the current folder")?;
    let first = paths.first().map_or(current.as_path(), |(path, _)| path.as_path());
    if let Some(work_tree) = first.ancestors().find(|folder| folder.join(".git").exists())
        && holds_all(work_tree)
    {
        return Ok((work_tree.to_owned(), true));
    }
    if holds_all(&current) {
        return Ok((current, false));
    }
    let folder_of = |(path, is_folder): &(PathBuf, bool)| if *is_folder { path.clone() } else { path.parent().unwrap_or(path).to_owned() };
    let start = paths.first().map_or_else(|| current.clone(), folder_of);
    let common = start.ancestors().find(|folder| holds_all(folder)).map_or_else(|| PathBuf::from("/"), Path::to_owned);
    Ok((common, false))
}

/// A path with `.` and `..` resolved by its text alone; `None` when it leaves the root.
pub(crate) fn normalize(path: &str) -> Option<String> {
    if path.starts_with('/') { None } else { source::normalize(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_a_folder_only_at_a_border_of_names() {
        assert!(is_below("a/b", "a") && is_below("a", "a") && is_below("x", ""));
        assert!(!is_below("ab", "a") && !is_below("b/a", "a"));
    }

    #[test]
    fn paths_do_not_leave_the_root() {
        assert_eq!(normalize("a/./b/../c").as_deref(), Some("a/c"));
        assert_eq!(normalize("../x"), None);
        assert_eq!(normalize("a/../../x"), None);
        assert_eq!(normalize("/etc/passwd"), None);
    }

    #[test]
    fn folders_within_folders_are_looked_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/f.yaml"), "").unwrap();
        std::fs::write(root.join("g.yaml"), "").unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        let scope = Scope::resolve(&[root.join("a/b"), root.join("a"), root.join("a/f.yaml"), root.join("g.yaml")]).unwrap();
        assert_eq!((scope.folders, scope.files), (vec!["a".to_owned()], vec!["g.yaml".to_owned()]));
        assert_eq!((scope.root, scope.is_git), (root, true));
    }

    #[test]
    fn without_git_the_common_folder_is_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a")).unwrap();
        std::fs::create_dir_all(root.join("b")).unwrap();
        let scope = Scope::resolve(&[root.join("a"), root.join("b")]).unwrap();
        assert_eq!((scope.root.as_path(), scope.is_git), (root.as_path(), false));
        let one = Scope::resolve(&[root.join("a")]).unwrap();
        assert_eq!((one.root, one.folders), (root.join("a"), vec![String::new()]));
        assert!(Scope::resolve(&[root.join("nothing")]).unwrap_err().to_string().contains("nothing"));
    }
}
