//! What namespaces say of exceptions: waivers, break-glass, their mode. Kept by the one watch of namespaces that there is.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

/// What namespaces say, by their names; of those that say nothing there is nothing.
#[derive(Debug, Default)]
pub struct Excepted {
    said: RwLock<BTreeMap<Arc<str>, String>>,
    moved: Notify,
}

impl Excepted {
    /// Notes what a namespace says; whether that is something else than before.
    pub fn put(&self, namespace: Arc<str>, said: Option<String>) -> bool {
        let mut all = self.said.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = all.get(&namespace) != said.as_ref();
        match said {
            Some(said) => drop(all.insert(namespace, said)),
            None => drop(all.remove(&namespace)),
        }
        if is_new {
            self.moved.notify_one();
        }
        is_new
    }

    /// What a namespace says.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Option<String> {
        self.said.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// What all of them say.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Arc<str>, String> {
        self.said.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves once one of them says something else; for one who waits.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }
}
