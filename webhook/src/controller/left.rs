//! What a workload that is stopped for a migration remembers of it: where the `GuardedUpgrade` is deleted meanwhile, one that is declared again goes on from there. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::Moment;
use milvus_guard::rollout::{Component, Orders, Pair, Topology};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::observe::{Before, Seen};
use super::status::{Line, State, Status};
use super::written;
use crate::admission::hold::{Identity, STOPPED_ANNOTATION, STOPPED_FOR_ANNOTATION};
use crate::cluster::{Snapshot, annotation, text};

/// A migration that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What its Jobs and its backup are found by ([`crate::migration::id_of`]).
    pub id: String,
    /// What it goes from and to.
    pub pair: Pair,
    /// The templates that served before.
    pub before: Before,
}

/// The same as an annotation.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Text {
    id: String,
    from: String,
    to: String,
    topology_before: Topology,
    topology_after: Topology,
    before: BTreeMap<String, Arc<str>>,
}

impl Left {
    /// As an annotation.
    #[must_use]
    pub fn text(&self) -> String {
        let Pair { from, to, before, after } = self.pair;
        let templates = self.before.iter().map(|(component, digest)| (component.name().to_owned(), Arc::clone(digest))).collect();
        let text = Text { id: self.id.clone(), from: from.to_string(), to: to.to_string(), topology_before: before, topology_after: after, before: templates };
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// From an annotation; nothing where that is no migration that we know.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok()?;
        let version = |text: &str| text.parse::<MilvusVersion>().ok();
        let pair = Pair { from: version(&text.from)?, to: version(&text.to)?, before: text.topology_before, after: text.topology_after };
        let is_id = text.id.len() == 8 && text.id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let migrates = Orders::embedded().find(&pair).is_ok_and(|order| order.migration);
        let before = text.before.iter().filter_map(|(component, digest)| Some((Component::named(component)?, Arc::clone(digest)))).collect();
        (is_id && migrates).then_some(Self { id: text.id, pair, before })
    }

    /// What the workloads of a release remember, as long as one of them is stopped.
    #[must_use]
    pub fn of(seen: &Seen) -> Option<Self> {
        seen.workloads.iter().find_map(|workload| Self::read(workload.stopped_for.as_deref()?))
    }

    /// The same from the objects of a cluster.
    #[must_use]
    pub fn of_release(cluster: &Snapshot, namespace: &str, release: &str) -> Option<Self> {
        let is_its = |object: &&Arc<Value>| {
            text(object, "/metadata/namespace") == Some(namespace) && Identity::of(object).is_some_and(|identity| identity.release == release)
        };
        let noted = |object: &Arc<Value>| annotation(object, STOPPED_ANNOTATION).and(annotation(object, STOPPED_FOR_ANNOTATION)).and_then(Self::read);
        cluster.of_kind("Deployment").filter(is_its).find_map(noted)
    }

    /// Goes on with it, as another attempt.
    pub fn take_up(&self, status: &mut Status, now: Moment) {
        let Pair { from, to, before, after } = self.pair;
        let at = written(now);
        let line = |(component, digest): (&Component, &Arc<str>)| Line {
            name: component.name().to_owned(),
            state: State::Held,
            message: None,
            before: Some(digest.to_string()),
            started_at: None,
            finished_at: None,
            mark: None,
        };
        *status = Status {
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            topology_before: Some(before),
            topology_after: Some(after),
            migration: Some(self.id.clone()),
            components: self.before.iter().map(line).collect(),
            attempt_at: Some(at.clone()),
            started_at: Some(at),
            finished_at: None,
            ..std::mem::take(status)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_again_and_nothing_else_is() {
        let pair = Pair { from: MilvusVersion::new(2, 1, 4), to: MilvusVersion::new(2, 2, 16), before: Topology::Standalone, after: Topology::Standalone };
        let left = Left { id: "0a1b2c3d".into(), pair, before: Before::from([(Component::Standalone, "d1".into())]) };
        assert_eq!(Left::read(&left.text()), Some(left.clone()));
        let with = |from: &str, to: &str| Left::read(&left.text().replace(from, to));
        assert_eq!(with("0a1b2c3d", "x,a=b"), None, "no id");
        assert_eq!(with("2.1.4", "latest"), None, "no version");
        assert_eq!(with("2.1.4", "2.2.13"), None, "no migration");
        assert_eq!((Left::read(""), Left::read("1")), (None, None));
    }
}
