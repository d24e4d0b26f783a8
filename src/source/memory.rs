//! A tree of a few texts, for tests and for objects that come from elsewhere than a folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ReadError, SourceFile, Tree};

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryTree {
    paths: Vec<Arc<str>>,
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl MemoryTree {
    /// A tree of these paths and texts; of a path given twice the last text counts.
    #[must_use]
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let texts: BTreeMap<Arc<str>, Arc<str>> = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { paths: texts.keys().cloned().collect(), texts }
    }

    /// The files that mention Milvus, as readers get them.
    #[must_use]
    pub fn candidates(&self) -> Vec<SourceFile> {
        let mentions = |text: &str| text.to_ascii_lowercase().contains("milvus");
        self.texts.iter().filter(|(path, text)| mentions(text) || mentions(path)).map(|(path, text)| SourceFile::new(path.clone(), text.clone())).collect()
    }
}

impl Tree for MemoryTree {
    fn paths(&self) -> &[Arc<str>] {
        &self.paths
    }

    fn read(&self, path: &str) -> Result<Arc<str>, ReadError> {
        self.texts.get(path).cloned().ok_or(ReadError::Missing)
    }
}
