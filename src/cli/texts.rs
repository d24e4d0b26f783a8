//! Texts of a tree's files, each read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use milvus_guard::source::ReadError;

use super::scope::normalize;

type Text = Result<Arc<str>, ReadError>;

/// What was read, or could not be, by normalized path.
#[derive(Default)]
pub(crate) struct Texts(Mutex<HashMap<String, Text>>);

impl Texts {
    /// Knows the text of a path from now on.
    pub(crate) fn put(&mut self, path: &str, text: &Arc<str>) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), Ok(Arc::clone(text)));
    }

    /// The text of a path within the tree; `fetch` reads it the first time.
    ///
    /// # Errors
    /// As `fetch`, and where the path leads out of the tree.
    pub(crate) fn read(&self, path: &str, fetch: impl FnOnce(&str) -> Text) -> Text {
        let path = normalize(path).ok_or(ReadError::Missing)?;
        let texts = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = texts().get(&path) {
            return known.clone();
        }
        let text = fetch(&path);
        texts().insert(path, text.clone());
        text
    }
}
