//! A tried hop in words: what to do in which order, with exact commands.

use super::hop::{self, Reason, Tried};
use super::state::{self, State};
use super::values::Set;
use super::{Request, StopAt, command, planning, route, tool};
use crate::model::finding::Finding;
use crate::model::plan::{Action, ActionKind, Downtime, Hop};
use crate::model::release::Release;
use crate::model::words::{Form, Mode, ObjectStoreKind};
use crate::policy::Policies;
use crate::policy::tables::{Acknowledge, AcknowledgeKind, Gate, GateNeed, Rollback};

/// The rule that the migration of the metadata answers.
const MIGRATION: &str = "MV201";
/// The rule that asks for a backup before a one-way door.
const DOOR: &str = "MV210";

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
    actions.extend(draft.preparations(is_first));
    actions.extend(draft.answers());
    if stop.needs.contains(&GateNeed::MetadataMigration) {
        actions.extend(draft.migration());
    }
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
    }
}

impl Draft<'_> {
    fn checks(&self, is_first: bool) -> Vec<Action> {
        let pods = Action::new(
            ActionKind::Check,
            format!("Every pod runs v{} and is ready; the image tells the version, the chart's label does not.", self.before.milvus),
        )
        .with_command(command::pods(self.request));
        if !is_first {
            return vec![pods];
        }
        let ready = route::ready(self.request);
        vec![Action { command: ready.command, ..Action::new(ActionKind::Check, ready.text) }, pods]
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

    /// Findings of one rule as a step.
    fn by_hand(&self, findings: &[&Finding], is_first: bool) -> String {
        let mut texts = Vec::new();
        for finding in findings {
            let file = finding
                .locations
                .first()
                .map(|label| &label.place)
                .filter(|place| is_first && self.request.declared.is_some() && &*place.file != state::MADE_UP);
            let place = file.map_or_else(String::new, |place| format!(" ({}:{})", place.file, place.start.line));
            texts.push(format!("{}{place}", finding.message.trim_end().trim_end_matches('.')));
            texts.push(". ".to_owned());
            let is_last_of_its_kind = findings.iter().rfind(|other| other.remedy == finding.remedy).is_some_and(|last| std::ptr::eq(*last, *finding));
            if is_last_of_its_kind {
                texts.push(format!("{} ", finding.remedy.trim_end()));
            }
        }
        let today = findings.iter().all(|finding| self.before.told.today.contains(&finding.fingerprint));
        let when = if today { "By hand, before this hop (it is so today already)" } else { "By hand, before this hop" };
        let rule = findings.first().map(|finding| format!(" [{}]", finding.rule)).unwrap_or_default();
        format!("{when}: {}{rule}", texts.concat().trim_end())
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
            let finding = self.tried.acknowledged.iter().find(|finding| *finding.rule == *row.rule);
            if finding.is_none() && !(needs_backup && row.rule == DOOR) {
                continue;
            }
            // One backup serves all that ask for one.
            let is_first_backup = kind == ActionKind::Backup && !actions.iter().any(|action| action.kind == ActionKind::Backup);
            let mut text = row.text.clone();
            if let Some(finding) = finding {
                text = format!("{text} {}", finding.message.trim_end());
            }
            if is_first_backup {
                text = format!("{text} {}", self.what_to_back_up());
            }
            if finding.is_some() {
                text = format!("{text} {}", self.acknowledgement(row));
            }
            let command = if is_first_backup { command::backup(self.before, self.request) } else { None };
            actions.push(Action { command, ..Action::new(kind, text.trim_end()) });
        }
        actions
    }

    /// What to write, and where.
    fn acknowledgement(&self, row: &Acknowledge) -> String {
        let beside = route::beside(self.request.declared.as_ref().map(|declared| &declared.declaration));
        format!(
            "Then write, {beside}: `guard.milvus-guard.dev/ack: {} <{}>`, with your own words for this hop in place of `<{}>`: as it stands, and with the words of another hop, it does not count.",
            row.rule, row.reference, row.reference
        )
    }

    /// What no command of the plan saves.
    fn what_to_back_up(&self) -> String {
        let release = &self.before.release;
        let mut parts = Vec::new();
        if let Some(store) = release.objects.known() {
            let bucket = store.bucket.as_deref().map_or_else(|| "the bucket".to_owned(), |bucket| format!("bucket `{bucket}`"));
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
        if let Some((hold, _)) = &hold {
            let text = "Hold the tool that applies the release: it would start Milvus again in the middle of the migration. Look that nothing above it (an app of apps, another controller) lets it go.";
            actions.push(Action::new(ActionKind::Prepare, text).with_command(hold.clone()));
        }
        let answer = planning(self.policies).acknowledge.iter().find(|row| row.rule == MIGRATION);
        let answer = answer.filter(|_| self.tried.acknowledged.iter().any(|finding| *finding.rule == *MIGRATION));
        let mut text = "Migrate the metadata from 2.1 to 2.2 with the upstream script: it stops Milvus, copies the metadata to a new claim, migrates, and starts the new image. Keep its output. Milvus stays stopped when it fails: read the log of the pod `milvus-meta-migration`, and do not start 2.1 or 2.2 before you know how far it came. `-r` is etcd's root path: with a wrong one nothing is migrated and no error is told.".to_owned();
        if let Some(row) = answer {
            text = format!("{text} {}", self.acknowledgement(row));
        }
        actions.push(Action::new(ActionKind::Migrate, text).with_command(command::migrate(self.before, self.stop.milvus, self.request)));
        actions
    }

    fn upgrade(&self) -> Action {
        let (tried, stop) = (self.tried, self.stop);
        let what = format!("chart {} with Milvus {}", tried.chart, stop.milvus);
        let mut route = route::upgrade(&what, &tried.chart, &tried.set, self.request);
        if stop.needs.contains(&GateNeed::MetadataMigration)
            && let Some((_, Some(resume))) = route::hold(self.request)
        {
            route.command = Some(route.command.map_or_else(|| resume.clone(), |command| format!("{resume}\n{command}")));
        }
        let tell = |reason: &Reason| format!("- {}: {}.", reason.paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", "), reason.text);
        let reasons: Vec<String> = tried.reasons.iter().map(tell).collect();
        let why = if reasons.is_empty() { String::new() } else { format!("\nThe values beside the tag:\n{}", reasons.join("\n")) };
        Action { command: route.command, values: ordered(&tried.set), ..Action::new(ActionKind::HelmUpgrade, format!("{}{why}", route.text)) }
    }

    fn verification(&self) -> Action {
        let after = self.tried.change.after.as_ref();
        let gone = gone(&self.before.release, after);
        let gone = if gone.is_empty() { String::new() } else { format!(" No pod of {} is left.", gone.join(", ")) };
        Action::new(
            ActionKind::Verify,
            format!(
                "The hop is complete when every line shows v{} and no `false`.{gone} Then, from a client: insert, flush, search, and load a collection that was released. Only then go on.",
                self.stop.milvus
            ),
        )
        .with_command(command::pods(self.request))
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
        let back = route::back(self.request);
        if before.milvus.line() == stop.milvus.line() {
            return format!("{back} brings back {}.", before.milvus);
        }
        format!("{back} brings back {}, but it may not read indexes that {} built meanwhile; nobody tests this way.", before.milvus, stop.milvus)
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
        let text = row.map_or("Components restart; how long the service is away cannot be told, since its topology is not known.", |row| &row.text);
        if route::form(self.request) == Some(Form::ArgoCd) && row.is_some() {
            return format!("{text} Argo CD applies all objects at once.");
        }
        text.to_owned()
    }
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
