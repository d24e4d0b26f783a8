//! What a version range admits: the gates that lie within it.

use crate::model::catalogue::Catalogue;
use crate::model::place::Fact;
use crate::model::release::Release;
use crate::model::version::VersionSpec;
use crate::policy::tables::{Gate, GateKind};

/// The gates (but recommended stops) between the lowest and the highest Milvus that a range admits. None where no range is written, or one that admits
/// everything: that is an unpinned chart.
pub(crate) fn gates_within<'a>(release: &Release, gates: &'a [Gate]) -> Vec<&'a Gate> {
    let Fact::Known(VersionSpec::Range(range), _) = &release.declaration.chart.version else { return Vec::new() };
    let catalogue = Catalogue::embedded();
    let mut admitted = catalogue.published().filter(|chart| range.admits(&chart.version));
    let (lowest, highest) = (admitted.next(), admitted.next_back());
    let first = catalogue.published().next();
    if range.below().is_none() && lowest.map(|chart| &chart.version) == first.map(|chart| &chart.version) {
        return Vec::new();
    }
    let (Some(lowest), Some(highest)) = (lowest.and_then(|chart| chart.milvus), highest.and_then(|chart| chart.milvus)) else { return Vec::new() };
    gates.iter().filter(|gate| gate.kind != GateKind::RecommendedStop && lowest < gate.from_below.0 && gate.to_at_least.is_reached_by(&highest)).collect()
}
