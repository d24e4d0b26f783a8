//! What an upgrade kept and `helm uninstall` therefore left behind: workloads that the last revision does not have. Pure.
//!
//! A release that is not found need not be gone: Helm may keep its revisions elsewhere. So it counts as uninstalled only if a revision of it was seen before, by its name and where it was looked for
//! now, and nothing is left of its workloads but what we ourselves marked. Claims are never deleted: they hold the data.

use std::sync::Arc;

use super::helm::Revision;
use super::observe::Seen;
use super::seen::Workload;

/// Whether nothing of a release is left but what we kept, of a release whose revision was known: then Helm is asked whether it was uninstalled.
#[must_use]
pub fn may_be_gone(seen: &Seen, known: Option<u64>) -> bool {
    known.is_some() && seen.workloads.iter().all(|workload| workload.is_kept)
}

/// What is left behind of a release that was uninstalled; nothing where it was not.
#[must_use]
pub fn left_behind<'s>(seen: &'s Seen, known: Option<u64>, newest: Option<&Revision>) -> Option<&'s [Arc<Workload>]> {
    let is_gone = newest.is_none_or(|newest| newest.status == "uninstalled");
    (is_gone && may_be_gone(seen, known)).then_some(&seen.workloads)
}

#[cfg(test)]
mod tests {
    use milvus_guard::rollout::observed::Moment;
    use serde_json::{Value, json};

    use super::super::fixture::{deployment, seen};
    use super::*;

    fn kept(component: &str) -> Value {
        let mut object = deployment(component, "v2.5.16");
        object["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
        object["metadata"]["annotations"]["guard.milvus-guard.dev/marks"] = json!("helm.sh/resource-policy,argocd.argoproj.io/sync-options");
        object["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = json!("PruneLast=true");
        object
    }

    fn revision(status: &str) -> Revision {
        Revision { number: 8, status: status.into(), stored: Moment(1) }
    }

    #[test]
    fn what_we_kept_is_left_behind_once_the_release_that_was_known_is_gone() {
        let all = seen(&[kept("indexnode")]);
        for newest in [None, Some(revision("uninstalled"))] {
            let left = left_behind(&all, Some(8), newest.as_ref()).unwrap();
            assert_eq!(left.iter().map(|workload| &*workload.name).collect::<Vec<_>>(), ["m-milvus-indexnode"]);
        }
        assert!(left_behind(&seen(&[]), Some(8), None).is_some_and(<[_]>::is_empty), "nothing is left of it");
    }

    #[test]
    fn a_release_that_is_there_or_was_never_seen_or_has_more_is_let_be() {
        let all = seen(&[kept("indexnode")]);
        for status in ["deployed", "failed", "pending-install", "uninstalling"] {
            assert_eq!(left_behind(&all, Some(8), Some(&revision(status))), None, "{status}");
        }
        assert_eq!(left_behind(&all, None, None), None, "Helm may keep it elsewhere");
        assert_eq!(left_behind(&seen(&[kept("indexnode"), deployment("proxy", "v2.5.16")]), Some(8), None), None);
    }

    #[test]
    fn what_a_person_keeps_is_not_ours() {
        let mut own = deployment("indexnode", "v2.5.16");
        own["metadata"]["annotations"]["helm.sh/resource-policy"] = json!("keep");
        assert_eq!(left_behind(&seen(std::slice::from_ref(&own)), Some(8), None), None);
        // Ours beside it is the other mark only.
        own["metadata"]["annotations"]["guard.milvus-guard.dev/marks"] = json!("argocd.argoproj.io/sync-options");
        own["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = json!("PruneLast=true");
        assert_eq!(left_behind(&seen(&[own]), Some(8), None), None);
    }
}
