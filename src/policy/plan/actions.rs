//! A tried hop in words: what to do in which order, with exact commands.

use super::hop::{self, Reason, Tried};
use super::state::{self, State};
use super::values::Set;
use super::{Request, StopAt, command, planning, route, tool};
use crate::model::change::Change;
use crate::model::finding::Finding;
use crate::model::place::Fact;
use crate::model::plan::{Action, ActionKind, Downtime, Hop};
use crate::model::release::Release;
use crate::model::words::{Mode, ObjectStoreKind, QueueServer, Severity};
use crate::policy::condition::ValueTree;
use crate::policy::facts;
use crate::policy::tables::{Acknowledge, AcknowledgeKind, Gate, GateNeed, Note, NoteAt, Rollback};
use crate::policy::{Policies, check};

/// The rule that the migration of the metadata answers.
const MIGRATION: &str = "MV201";
/// The rule that asks for a backup before a one-way door.
const DOOR: &str = "MV210";

/// The rule that refuses a way down of the chart.
const CHART_BACK: &str = "MV110";

/// Where the bucket is said.
const BUCKET: [(ValueTree, &str); 3] =
    [(ValueTree::Config, "minio.bucketName"), (ValueTree::User, "externalS3.bucketName"), (ValueTree::User, "minio.bucketName")];

/// A hop under description.
struct Draft<'a> {
    tried: &'a Tried,
    before: &'a State,
    stop: &'a StopAt,
    request: &'a Request,
    policies: &'a Policies,
}

/// The hop as it is given.
pub(super) fn hop(tried: &Tried, before: &State, stop: &StopAt, is_first: bool, request: &Request, policies: &Policies) -> Hop {
    let draft = Draft { tried, before, stop, request, policies };
    let mut actions = draft.checks(is_first);
    actions.extend(draft.rows(NoteAt::Check).map(|row| Action { command: row.command.clone(), ..Action::new(ActionKind::Check, row.text.clone()) }));
    actions.extend(draft.preparations(is_first));
    actions.extend(draft.answers());
    if stop.needs.contains(&GateNeed::MetadataMigration) {
        actions.extend(draft.migration());
    }
    actions.extend(draft.notes());
    actions.push(draft.upgrade());
    actions.push(draft.verification());
    let gates: Vec<&Gate> = policies.gates().iter().filter(|gate| before.milvus < gate.from_below.0 && gate.to_at_least.is_reached_by(&stop.milvus)).collect();
    let mut sources: Vec<String> = stop.sources.clone();
    sources.extend(gates.iter().flat_map(|gate| gate.sources.iter().cloned()));
    sources.extend(tried.reasons.iter().flat_map(|reason| reason.sources.iter().cloned()));
    dedupe(&mut sources);
    Hop {
        milvus: stop.milvus.to_string(),
        chart: tried.chart.to_string(),
        image_tag: Some(format!("v{}", stop.milvus)),
        reason: stop.reason.clone(),
        one_way_door: gates.iter().any(|gate| gate.rollback != Rollback::Possible),
        rollback: draft.rollback(&gates),
        downtime: draft.downtime(),
        interruption: draft.interruption(),
        backup: actions.iter().any(|action| action.kind == ActionKind::Backup),
        commands: actions.iter().filter_map(|action| action.command.clone()).collect(),
        actions,
        sources,
        timeline: None,
    }
}

impl Draft<'_> {
    fn checks(&self, is_first: bool) -> Vec<Action> {
        let pods = Action::new(
            ActionKind::Check,
            format!(
                "Every pod runs v{} and is ready; the image tells the version, the chart's label does not. Where another version runs, plan from that one.",
                self.before.milvus
            ),
        )
        .with_command(command::pods(self.request, &self.before.release));
        if !is_first {
            return vec![pods];
        }
        let ready = route::ready(self.request);
        vec![Action { command: ready.command, ..Action::new(ActionKind::Check, ready.text) }, pods]
    }

    /// What else is to be known of this hop.
    fn rows(&self, at: NoteAt) -> impl Iterator<Item = &Note> {
        planning(self.policies).notes.iter().filter(move |row| row.at == at && hop::holds(&row.when, &self.tried.change, self.policies))
    }

    /// What changes in the user's own values and settings: done by the edit of the hop, or by hand.
    fn preparations(&self, is_first: bool) -> Vec<Action> {
        let tool = self.tried.tool.iter().filter_map(|change| {
            let text = tool::reason(*change, planning(self.policies))?;
            Some(Action { tool: vec![*change], ..Action::new(ActionKind::Prepare, text) })
        });
        let moves = self.tried.moves.iter().map(|text| Action::new(ActionKind::Prepare, text.clone()));
        let mut rules: Vec<&str> = self.tried.by_hand.iter().map(|finding| &*finding.rule).collect();
        rules.dedup();
        let by_hand = rules.into_iter().map(|rule| {
            let findings: Vec<&Finding> = self.tried.by_hand.iter().filter(|finding| *finding.rule == *rule).collect();
            Action::new(ActionKind::Prepare, self.by_hand(&findings, is_first))
        });
        tool.chain(moves).chain(by_hand).collect()
    }

    /// Findings of one rule as a step. What the chart before still reads must not be changed earlier.
    fn by_hand(&self, findings: &[&Finding], is_first: bool) -> String {
        let told: Vec<String> = findings
            .iter()
            .map(|finding| {
                let file = finding.locations.first().map(|label| &label.place);
                let file = file.filter(|place| is_first && self.request.declared.is_some() && &*place.file != state::MADE_UP);
                let place = file.map_or_else(String::new, |place| format!("{}:{}: ", place.file, place.start.line));
                let is_today = self.before.told.today.contains(&finding.fingerprint);
                let instead = planning(self.policies).today.get(&*finding.rule).filter(|_| is_today);
                let (said, todo) = match instead {
                    // What the loss does was done when it came.
                    Some(todo) => (first_sentence(&finding.message), todo.clone()),
                    None => (finding.message.trim_end(), one_line(&finding.remedy)),
                };
                format!("{place}{said} {todo}")
            })
            .collect();
        let today = findings.iter().all(|finding| self.before.told.today.contains(&finding.fingerprint));
        let when = if today { "By hand, with this hop or before it (it is so today already)" } else { "By hand, together with this hop and not earlier" };
        let rule = findings.first().map(|finding| format!(" [{}]", finding.rule)).unwrap_or_default();
        match told.as_slice() {
            [one] => format!("{when}: {one}{rule}"),
            several => format!("{when}{rule}:{}", several.iter().map(|one| format!("\n- {one}")).collect::<String>()),
        }
    }

    /// One action for each rule that wants an answer, and for the backup that a gate needs although its procedure makes one too.
    fn answers(&self) -> Vec<Action> {
        let needs_backup = self.stop.needs.iter().any(|need| matches!(need, GateNeed::MetadataBackup | GateNeed::FullBackup));
        let mut actions: Vec<Action> = Vec::new();
        for row in planning(self.policies).acknowledge.iter().filter(|row| row.rule != MIGRATION) {
            let kind = match row.kind {
                AcknowledgeKind::Backup => ActionKind::Backup,
                AcknowledgeKind::Acknowledge => ActionKind::Acknowledge,
            };
            let finding = self.asks(row);
            if finding.is_none() && !(needs_backup && row.rule == DOOR) {
                continue;
            }
            // One backup serves all that ask for one.
            let is_first_backup = kind == ActionKind::Backup && !actions.iter().any(|action| action.kind == ActionKind::Backup);
            let mut text = row.text.clone();
            if let Some(finding) = finding {
                text = format!("{text} {}", finding.message.trim_end());
                // Of a stop on the way there is no better one; of the version that was asked for there may be.
                if kind == ActionKind::Acknowledge && self.stop.milvus == self.request.to {
                    text = format!("{text} {}", finding.remedy.trim_end());
                }
            }
            if is_first_backup {
                text = format!("{text} {}", self.what_to_back_up());
            } else if kind == ActionKind::Backup {
                text = format!("{text} The one from the step before will do.");
            }
            let command = if is_first_backup { command::backup(self.before, self.request) } else { None };
            actions.push(Action { command, ..Action::new(kind, text.trim_end()) });
        }
        actions
    }

    /// The finding of a rule that wants an answer.
    fn asks(&self, row: &Acknowledge) -> Option<&Finding> {
        self.tried.acknowledged.iter().find(|finding| *finding.rule == *row.rule)
    }

    /// What to write for the answers, and where.
    fn notes(&self) -> Option<Action> {
        let rows: Vec<&Acknowledge> = planning(self.policies).acknowledge.iter().filter(|row| self.asks(row).is_some()).collect();
        if rows.is_empty() {
            return None;
        }
        let beside = route::beside(self.request);
        let lines: String = rows.iter().map(|row| format!("\n- `guard.milvus-guard.dev/ack: {} <{}>`", row.rule, row.reference)).collect();
        let text = format!(
            "{beside}, with your own words for this hop in place of each `<...>`; as they stand, and with the words of another hop, they do not count:{lines}"
        );
        Some(Action::new(ActionKind::Acknowledge, text))
    }

    /// What no command of the plan saves.
    fn what_to_back_up(&self) -> String {
        let release = &self.before.release;
        let mut parts = Vec::new();
        if let Some(store) = release.objects.known() {
            let bucket = store
                .bucket
                .as_deref()
                .filter(|_| facts::secret_of(release, &BUCKET).is_none())
                .map_or_else(|| "the bucket".to_owned(), |bucket| format!("bucket `{bucket}`"));
            parts.push(match store.kind {
                ObjectStoreKind::Minio => {
                    format!("No command here copies the objects: mirror {bucket} of the release's MinIO (`mc mirror`), or take a snapshot of its volumes.")
                }
                ObjectStoreKind::External => {
                    format!("No command here copies the objects: copy {bucket} of the external store, or have it keep versions from now on.")
                }
                ObjectStoreKind::Local | ObjectStoreKind::None => "No command here copies the data volume: take a snapshot of it.".to_owned(),
            });
        }
        if matches!(release.objects, Fact::Unknown(..)) {
            parts.push(
                "Where the objects lie is not seen in the values, and no command here copies them: copy the bucket, or take a snapshot of the volumes."
                    .to_owned(),
            );
        }
        if matches!(release.metadata, Fact::Unknown(..)) {
            parts.push("Where the metadata lies is not seen in the values: the commands are those for the release's own etcd; of another one save a snapshot with `etcdctl --endpoints`.".to_owned());
        }
        if release.queue.known().is_some_and(|queue| queue.server == QueueServer::Embedded) {
            parts.push("The queue lies in the standalone's own volume: flush, or take a snapshot of that too.".to_owned());
        }
        if release.metadata.known().is_some_and(|store| !store.external_endpoints.is_empty()) {
            parts.push("The etcd is your own: give `etcdctl` the credentials and certificates that it asks for.".to_owned());
        }
        if route::is_without_release(self.request) {
            parts.push("The values are in git: note the commit.".to_owned());
        }
        parts.join(" ")
    }

    fn migration(&self) -> Vec<Action> {
        let hold = route::hold(self.request);
        let mut actions = Vec::new();
        if let Some(hold) = hold {
            let text = "Hold the tool that applies the release: it would start Milvus again in the middle of the migration. Look that nothing above it (an app of apps, another controller) lets it go.";
            actions.push(Action::new(ActionKind::Prepare, text).with_command(hold));
        }
        let name = &self.request.name;
        let text = format!(
            "Migrate the metadata from 2.1 to 2.2 with the upstream script: it stops Milvus, copies the metadata to a new claim, migrates, and starts the new image. Keep its output. It has no time limit: where a pod of it stays Pending, look why (image, claim). `-r` is etcd's root path: with a wrong one nothing is migrated and no error is told.\nWhere it fails, Milvus stays stopped:\n- Exit code 1: nothing was changed.\n- Exit code 2, the copy failed: nothing was changed; scale the Deployments back to the replicas in ConfigMap `milvus-deploy-replicas-{name}`.\n- Exit code 3, the migration failed: the metadata may be half migrated. Restore the etcd snapshot with Milvus stopped before you start anything.\n- Before a second run delete the pods `milvus-meta-migration-backup-{name}` and `milvus-meta-migration-{name}`: the script takes them for its own and believes their result."
        );
        actions.push(Action::new(ActionKind::Migrate, text).with_command(command::migrate(self.before, self.stop.milvus, self.request)));
        actions
    }

    fn upgrade(&self) -> Action {
        let (tried, stop) = (self.tried, self.stop);
        let what = format!("chart {} with Milvus {}", tried.chart, stop.milvus);
        let is_held = stop.needs.contains(&GateNeed::MetadataMigration);
        let route = route::upgrade(&what, &tried.chart, &tried.set, is_held, self.request);
        let tell = |reason: &Reason| format!("- {}: {}.", reason.paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "), reason.text);
        let reasons: Vec<String> = tried.reasons.iter().map(tell).collect();
        let why = if reasons.is_empty() { String::new() } else { format!("\nThe values beside the tag:\n{}", reasons.join("\n")) };
        Action { command: route.command, values: ordered(&tried.set), ..Action::new(ActionKind::HelmUpgrade, format!("{}{why}", route.text)) }
    }

    fn verification(&self) -> Action {
        let after = self.tried.change.after.as_ref();
        let gone = gone(&self.before.release, after);
        let gone = if gone.is_empty() { String::new() } else { format!(" No pod of {} is left.", gone.join(", ")) };
        let notes: String = self.rows(NoteAt::Verify).map(|row| format!(" {}", row.text)).collect();
        Action::new(
            ActionKind::Verify,
            format!(
                "The hop is complete when every line shows v{} and no `false`.{gone} Then, from a client: insert, flush, search, and load a collection that was released. Only then go on.{notes}",
                self.stop.milvus
            ),
        )
        .with_command(command::pods(self.request, after.unwrap_or(&self.before.release)))
    }

    fn rollback(&self, gates: &[&Gate]) -> String {
        let (before, stop) = (self.before, self.stop);
        if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Impossible) {
            return format!(
                "Not possible: {}. Do not run `helm rollback` or revert the commit. Only a restore of the backup leads back to {}, without what was written since.",
                gate.title, before.milvus
            );
        }
        if let Some(gate) = gates.iter().find(|gate| gate.rollback == Rollback::Procedure) {
            return format!(
                "Only with Milvus stopped and the etcd snapshot restored: {}. The upstream script's `-o rollback` does not find the copy that it made, and stops Milvus all the same.",
                gate.title
            );
        }
        let (back, is_of_line) = (route::back(self.request), before.milvus.line() == stop.milvus.line());
        let unread = format!("may not read indexes that {} built meanwhile; nobody tests this way", stop.milvus);
        let refused = self.refused_back().map(|refused| format!("{} [{}]", refused.message.trim_end().trim_end_matches('.'), refused.rule));
        match (refused, is_of_line) {
            (None, true) => format!("{back} brings back {}.", before.milvus),
            (None, false) => format!("{back} brings back {}, but it {unread}, and milvus-guard does not carry it out.", before.milvus),
            (Some(refused), true) => format!(
                "{back} is not the way: {refused}, and milvus-guard refuses it. Keep chart {} and set `image.all.tag` to `v{milvus}`: that brings back {milvus}.",
                self.tried.chart,
                milvus = before.milvus
            ),
            (Some(refused), false) => format!(
                "{back} is not the way: {refused}, and milvus-guard refuses it. On the chart of this hop {} {unread}: what surely leads back is a restore of the backup.",
                before.milvus
            ),
        }
    }

    /// What the rules say of going back to the chart before: a finding that refuses it.
    fn refused_back(&self) -> Option<Finding> {
        let forwards = &self.tried.change;
        let back = Change { before: forwards.after.clone(), after: forwards.before.clone(), ..forwards.clone() };
        check(&back, self.policies).into_iter().find(|finding| *finding.rule == *CHART_BACK && finding.severity == Severity::Error)
    }

    /// How long the service is away: coordinators without active standby are replaced one generation after the other.
    fn downtime(&self) -> Downtime {
        let standalone = self.tried.change.after.as_ref().is_some_and(|release| release.mode == Some(Mode::Standalone));
        if self.stop.needs.contains(&GateNeed::MetadataMigration) {
            Downtime::Migration
        } else if standalone || planning(self.policies).rolling_since.as_ref().is_some_and(|since| self.before.milvus < since.0) {
            Downtime::Restart
        } else {
            Downtime::Partial
        }
    }

    fn interruption(&self) -> String {
        let fits = |need: &Option<GateNeed>| need.is_none_or(|need| self.stop.needs.contains(&need));
        let rows = &planning(self.policies).interruptions;
        let row = rows.iter().find(|row| fits(&row.needs) && hop::holds(&row.when, &self.tried.change, self.policies));
        row.map_or("Components restart; how long the service is away cannot be told, since its topology is not known.", |row| &row.text).to_owned()
    }
}

/// Up to the first full stop that a blank follows.
fn first_sentence(text: &str) -> &str {
    text.find(". ").and_then(|at| text.get(..=at)).unwrap_or_else(|| text.trim_end())
}

/// A remedy as running text.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Components that run before and not after, by the label of their pods.
fn gone(before: &Release, after: Option<&Release>) -> Vec<&'static str> {
    let Some(after) = after else { return Vec::new() };
    before.components.iter().map(|component| component.name).filter(|name| after.component(name).is_none()).collect()
}

fn ordered(set: &Set) -> serde_json::Map<String, serde_json::Value> {
    set.iter().map(|(path, value)| (path.clone(), value.clone())).collect()
}

fn dedupe(items: &mut Vec<String>) {
    let mut seen: Vec<String> = Vec::new();
    items.retain(|item| {
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}
