//! What is upgraded, and what happens on the way.

use crate::rollout::component::{Component, Topology};
use crate::rollout::orders::{Order, Orders, Pair};
use crate::rollout::plan::OnFailure;
use crate::rollout::simulate::{Ills, Setting, setting};

/// An upgrade with what happens to it.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) setting: Setting,
    pub(super) order: Order,
    pub(super) turn: Turn,
    pub(super) ills: Ills,
    pub(super) on_failure: OnFailure,
    /// Jobs may fail.
    pub(super) jobs_fail: bool,
    /// The applier deletes before it writes, as Argo CD prunes, and before anybody could mark.
    pub(super) deletes_first: bool,
    /// One component of the change never arrives, and a person takes the part that did.
    pub(super) is_partial: bool,
}

/// What a person does on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    None,
    /// Aborts at some moment.
    Abort,
    /// Has the applier write the version before, at some moment.
    Rollback,
}

fn scenario(name: &'static str, versions: (&str, &str), before: Topology, after: Topology) -> Scenario {
    let pair = Pair { from: versions.0.parse().unwrap(), to: versions.1.parse().unwrap(), before, after };
    let order = Orders::embedded().find(&pair).unwrap().clone();
    let replicas = |component| match component {
        Component::QueryNode => 3,
        Component::Proxy | Component::StreamingNode => 2,
        _ => 1,
    };
    let mut setting = setting(pair, &order, replicas, &[Component::IndexNode, Component::IndexCoord]);
    setting.dependencies = vec!["etcd".into(), "minio".into()];
    Scenario {
        name,
        setting,
        order,
        turn: Turn::None,
        ills: Ills::default(),
        on_failure: OnFailure::Pause,
        jobs_fail: false,
        deletes_first: false,
        is_partial: false,
    }
}

/// All of them.
pub(super) fn scenarios() -> Vec<Scenario> {
    use Topology::{MixCoordinator as Mix, SeparateCoordinators as Separate, Standalone, Streaming};
    let ill = |component| Ills { never_ready: Some(component), ..Ills::default() };
    let to_mix = |name| scenario(name, ("2.5.16", "2.5.22"), Separate, Mix);
    let into_2_6 = |name| scenario(name, ("2.5.22", "2.6.15"), Mix, Streaming);
    let mix = |name| scenario(name, ("2.5.16", "2.5.22"), Mix, Mix);
    let migration = |name| scenario(name, ("2.1.4", "2.2.16"), Separate, Separate);
    let of_standalone = |name| scenario(name, ("2.1.4", "2.2.16"), Standalone, Standalone);
    let dead = Ills { is_webhook_dead: true, ..Ills::default() };
    let without_standby = |scenario: Scenario| Scenario { setting: Setting { active_standby: false, ..scenario.setting }, ..scenario };
    vec![
        scenario("separate coordinators in 2.2", ("2.2.3", "2.2.16"), Separate, Separate),
        scenario("separate coordinators to 2.3", ("2.2.16", "2.3.11"), Separate, Separate),
        to_mix("to the mix coordinator"),
        without_standby(to_mix("to the mix coordinator, no standby")),
        scenario("mix coordinator to 2.5", ("2.4.16", "2.5.16"), Mix, Mix),
        into_2_6("into 2.6"),
        without_standby(into_2_6("into 2.6, no standby")),
        scenario("within 2.6", ("2.6.0", "2.6.15"), Streaming, Streaming),
        scenario("standalone into 2.6", ("2.5.22", "2.6.15"), Standalone, Standalone),
        migration("migration"),
        of_standalone("migration of a standalone"),
        Scenario { jobs_fail: true, ..migration("migration, jobs fail") },
        Scenario { ills: dead, jobs_fail: true, ..migration("migration, webhook dead") },
        Scenario { ills: dead, ..of_standalone("migration of a standalone, webhook dead") },
        Scenario { turn: Turn::Abort, jobs_fail: true, ..migration("migration, aborted") },
        Scenario { turn: Turn::Abort, ..mix("mix coordinator, aborted") },
        Scenario { turn: Turn::Rollback, ..mix("mix coordinator, rolled back") },
        Scenario { turn: Turn::Abort, ..to_mix("to the mix coordinator, aborted") },
        Scenario { turn: Turn::Rollback, ..to_mix("to the mix coordinator, rolled back") },
        Scenario { turn: Turn::Abort, ..into_2_6("into 2.6, aborted") },
        Scenario { turn: Turn::Rollback, ..into_2_6("into 2.6, rolled back") },
        Scenario { deletes_first: true, ..to_mix("to the mix coordinator, deleted first") },
        Scenario { ills: ill(Component::QueryNode), ..into_2_6("into 2.6, query nodes fail") },
        Scenario { is_partial: true, ..into_2_6("into 2.6, a part of it") },
        Scenario { is_partial: true, ..mix("mix coordinator, a part of it") },
        Scenario { ills: ill(Component::QueryNode), on_failure: OnFailure::Rollback, ..mix("mix coordinator, query nodes fail, rolls back") },
        Scenario { ills: ill(Component::MixCoord), on_failure: OnFailure::Rollback, ..into_2_6("into 2.6, mix coordinator fails, rolls back") },
    ]
}
