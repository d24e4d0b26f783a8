//! The states that a change is judged from: what runs, and every revision since.

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::Declaration;

use super::super::milvus::{self, Part, StoredMilvus, image_layers};
use super::Decoded;
use crate::cluster::running::{Serving, counted};

/// The states that a change is judged from.
#[derive(Debug, Default)]
pub(super) struct States {
    /// All of them.
    pub(super) all: Vec<Declaration>,
    /// How many of them run, the first ones; the others were stored since and only held. Nothing where that is not known.
    pub(super) running: Option<usize>,
}

impl States {
    /// The states that run, where there are others beside them.
    pub(super) fn that_run(&self) -> Option<&[Declaration]> {
        self.all.get(..self.running?).filter(|running| running.len() < self.all.len())
    }
}

/// What is known of the time before a release.
#[derive(Debug)]
pub(super) struct Earlier {
    /// Earlier revisions with what they render, newest first; the last one read put in place what runs, if `running` says so.
    pub(super) revisions: Vec<Decoded>,
    /// What runs.
    pub(super) serving: Vec<Serving>,
    /// Index of the revision that put in place what runs.
    pub(super) running: Option<usize>,
    /// Why a revision could not be read.
    pub(super) unread: Option<String>,
    /// The same, where it was there and could not be decoded.
    pub(super) undecodable: Option<String>,
}

impl Earlier {
    /// Adds the next older revision; true when none further is needed.
    pub(super) fn add(&mut self, decoded: Decoded) -> bool {
        let running = counted(&self.serving);
        let is_it = if running.is_empty() {
            // Nothing runs or ran: the last revision that was completed speaks.
            &*decoded.release.status == "deployed"
        } else {
            let put = |serving: &Serving| decoded.renderings.iter().flat_map(|rendering| &rendering.parts).any(|part| put_in_place(part, serving));
            running.into_iter().all(put)
        };
        self.revisions.push(decoded);
        if is_it {
            self.running = Some(self.revisions.len() - 1);
        }
        is_it
    }
}

/// Whether a ReplicaSet came from a rendered Deployment: same image, and the same configuration where both tell it.
fn put_in_place(part: &Part, serving: &Serving) -> bool {
    let checksum = part.config_checksum.as_deref().zip(serving.config_checksum());
    *part.deployment == *serving.deployment && part.image.as_deref() == serving.image() && checksum.is_none_or(|(a, b)| a == b)
}

/// The states before one Milvus, those that run first: of equal findings theirs is told. Revisions that were only held are left out where the change goes back to what runs, and where it is a rollback: they never ran.
pub(super) fn states_before(after: &StoredMilvus, earlier: &Earlier, is_rollback: bool) -> States {
    let of = |at: usize| {
        let Decoded { release, renderings } = earlier.revisions.get(at)?;
        let older = earlier.revisions.get(at + 1).map(|decoded| &decoded.release);
        counterpart(after, milvus::declare_all(release, renderings.clone(), older, Catalogue::embedded()))
    };
    let serving = counted(earlier.serving.iter().filter(|serving| serving.label == after.label));
    let (mut states, mut held) = (Vec::new(), Vec::new());
    let goes_back = !serving.is_empty()
        && serving.iter().all(|serving| after.parts.iter().any(|part| *part.deployment == *serving.deployment && part.image.as_deref() == serving.image()));
    for at in 0..earlier.revisions.len() {
        let is_running = earlier.running == Some(at);
        let is_oldest = at + 1 == earlier.revisions.len();
        let Some(state) = of(at) else { continue };
        if is_running || (is_oldest && earlier.running.is_none()) {
            states.extend(as_running(&state, &serving));
        }
        let was_only_held = is_rollback && earlier.running.is_some();
        if !is_running && !goes_back && !was_only_held {
            held.push(state.declaration);
        }
    }
    // Nothing of it was stored before, or nothing could be read: what runs speaks alone.
    if states.is_empty() && held.is_empty() && !serving.is_empty() && (!earlier.revisions.is_empty() || earlier.unread.is_some()) {
        states.extend(as_running(after, &serving));
    }
    let running = earlier.running.map(|_| states.len()).filter(|running| *running > 0);
    states.extend(held);
    States { all: states, running }
}

/// A stored state with the images that run: one per image.
pub(super) fn as_running(state: &StoredMilvus, serving: &[&Serving]) -> Vec<Declaration> {
    let mut images: Vec<&str> = serving.iter().filter_map(|serving| serving.image()).collect();
    images.sort_unstable();
    images.dedup();
    if images.is_empty() {
        return vec![state.declaration.clone()];
    }
    let rendered = |image: &str| state.parts.iter().any(|part| part.image.as_deref() == Some(image));
    let with = |image: &str| {
        let mut declaration = state.declaration.clone();
        if !rendered(image) {
            declaration.layers.extend(image_layers(image, &declaration.place));
        }
        declaration
    };
    images.into_iter().map(with).collect()
}

/// The Milvus of another revision that is the same one: by its name label, else by its values' key, else where there is one each.
fn counterpart(after: &StoredMilvus, mut others: Vec<StoredMilvus>) -> Option<StoredMilvus> {
    let at = others
        .iter()
        .position(|other| other.label == after.label)
        .or_else(|| others.iter().position(|other| other.key == after.key))
        .or((others.len() == 1).then_some(0))?;
    Some(others.swap_remove(at))
}
