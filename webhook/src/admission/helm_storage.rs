//! Gate 1: a Helm release as it is stored, judged against what runs and every later revision. Refuses before Helm writes anything else.
//!
//! Doubt: a release that cannot be read is refused only where Milvus runs under its name; every other one passes, since this gate sees all releases of the cluster.

mod before;
pub(crate) mod of_cluster;

use std::sync::Arc;

use futures::future::join;
use jiff::Timestamp;
use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::declaration::Declaration;
use milvus_guard::model::finding::{Finding, Severity};
use milvus_guard::model::place::Fact;
use milvus_guard::model::release::{QueueKind, Release};
use milvus_guard::policy::Policies;
use serde_json::Value;

use self::before::{Earlier, States, as_running, states_before};
use super::exceptions::{ALLOW_ANNOTATION, BREAK_GLASS_ANNOTATION, Exceptions};
use super::guard::Guard;
use super::hold::{MIXED_COORDINATOR, SEPARATE_COORDINATORS};
use super::milvus::{self, Rendering, StoredMilvus};
use super::receipts;
use super::release::{self, Carried, DecodeError, Driver, Packed, SECRET_TYPE, StoredRelease};
use super::request::{Operation, Request};
use super::verdict::{Point, Terms, answer, findings, points, resolved};
use super::workload::KEEP;
use super::{Answer, UNDECODABLE, declared, milvus::Part};
use crate::api;
use crate::cluster::{Cluster, Kind, ReadError, annotation, running, text};

/// Revisions that are read besides the one that arrives.
const MAX_READS: u32 = 5;

/// The rule against a lower chart.
const LOWER_CHART: &str = "MV110";

/// The release that an object stores, by its name and labels alone.
struct Named<'r> {
    driver: Driver,
    release: &'r str,
    status: &'r str,
    revision: Option<u32>,
}

impl<'r> Named<'r> {
    /// Nothing for objects that are no release, or one that is not about to be installed, upgraded or rolled back.
    fn of(request: &'r Request) -> Option<Self> {
        let driver = match request.kind.kind.as_str() {
            "Secret" if text(&request.object, "/type") == Some(SECRET_TYPE) => Driver::Secret,
            "ConfigMap" => Driver::ConfigMap,
            _ => return None,
        };
        let label = |name| crate::cluster::label(&request.object, name);
        if request.operation != Operation::Create || label("owner") != Some("helm") {
            return None;
        }
        let status = label("status").filter(|status| status.starts_with("pending-"))?;
        Some(Self { driver, release: label("name")?, status, revision: label("version").and_then(|revision| revision.parse().ok()) })
    }
}

/// Judges a request of gate 1.
pub(super) async fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    let Some(named) = Named::of(request) else { return Answer::admitted() };
    let namespace = request.namespace.as_str();
    let serving = running::serving(&*guard.cluster, namespace, named.release);
    let (last, stored) = join(last(guard, &named, namespace, &serving), arriving(guard, &named, request)).await;
    let (stored, renderings) = match stored {
        Ok(Some(Decoded { release, renderings })) => (release, renderings),
        Ok(None) => return Answer::admitted(),
        Err(error) => return undecodable(guard, &named, namespace, request, &error),
    };
    let earlier = earlier(guard, &named, namespace, &stored, serving, last).await;
    let before = earlier.revisions.first().map(|decoded| &decoded.release);
    let found = milvus::declare_all(&stored, renderings, before, Catalogue::embedded());
    if found.is_empty() {
        return gone(guard, &named, namespace, request);
    }
    let mut all = Vec::new();
    for one in &found {
        all.extend(manifest_differs(one).map(|difference| Point::new("MV902", Severity::Warning, difference, "")));
        all.extend(judge_one(guard, &named, namespace, one, &earlier).await);
    }
    let mut answer = finish(guard, &named, namespace, request, all);
    if let Some(why) = earlier.undecodable {
        answer.audit.insert(UNDECODABLE.into(), why);
    }
    answer
}

/// A stored release with what it renders.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) release: StoredRelease,
    pub(super) renderings: Vec<Rendering>,
}

/// Why a revision is not known.
#[derive(Debug)]
enum Unread {
    /// The API server did not give it.
    NotGiven(ReadError),
    /// It is there, and cannot be decoded.
    NotDecoded(DecodeError),
}

/// What the API server said to a question for a revision.
type Asked = Result<Option<Value>, ReadError>;

/// The revision that arrives, with all that is asked of it alone.
async fn arriving<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, request: &Request) -> Result<Option<Decoded>, DecodeError> {
    let Some(Decoded { release, renderings }) = guard.decode(&request.object, named.driver, None).await? else { return Ok(None) };
    let renderings = renderings.into_iter().map(|rendering| rendering.with_queue(&release.manifest)).collect();
    Ok(Some(Decoded { release, renderings }))
}

/// The revision before, as the API server has it, where Milvus runs under this name: it is on its way while the one that arrives is decoded. Of any other release nothing is asked for unseen.
async fn last<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, serving: &[running::Serving]) -> Option<(u32, Asked)> {
    let revision = named.revision?.checked_sub(1).filter(|revision| *revision > 0)?;
    if named.status == "pending-install" || serving.is_empty() {
        return None;
    }
    Some((revision, guard.cluster.release(namespace, named.release, revision, named.driver).await))
}

/// A revision that was asked for. `other` may have the same values.
async fn decoded<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, asked: Asked, other: &StoredRelease) -> Result<Option<Decoded>, Unread> {
    let Some(object) = asked.map_err(Unread::NotGiven)? else { return Ok(None) };
    guard.decode(&object, named.driver, Some(other)).await.map_err(Unread::NotDecoded)
}

/// The revisions before, newest first, as far back as the one that put in place what runs. `last`: one that was asked for already.
async fn earlier<C: Cluster>(
    guard: &Guard<C>,
    named: &Named<'_>,
    namespace: &str,
    stored: &StoredRelease,
    serving: Vec<running::Serving>,
    last: Option<(u32, Asked)>,
) -> Earlier {
    let mut earlier = Earlier { revisions: Vec::new(), serving, running: None, unread: None, undecodable: None };
    if named.status == "pending-install" {
        return earlier;
    }
    let mut last = last;
    for revision in (1..stored.revision).rev().take(MAX_READS as usize) {
        let asked = match last.take_if(|(known, _)| *known == revision) {
            Some((_, asked)) => asked,
            None => guard.cluster.release(namespace, named.release, revision, named.driver).await,
        };
        match decoded(guard, named, asked, stored).await {
            Ok(Some(decoded)) => {
                if earlier.add(decoded) {
                    break;
                }
            }
            Ok(None) => {}
            Err(Unread::NotGiven(error)) => {
                earlier.unread = Some(format!("revision {revision}: {error}"));
                break;
            }
            Err(Unread::NotDecoded(error)) => {
                earlier.unread = Some(format!("revision {revision}: {error}"));
                earlier.undecodable.clone_from(&earlier.unread);
            }
        }
    }
    earlier
}

async fn judge_one<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, one: &StoredMilvus, earlier: &Earlier) -> Vec<Point> {
    let mut after = one.declaration.clone();
    let mut left = None;
    let befores = match named.status {
        "pending-install" => {
            // Helm lost its history, or took over what others left: what runs speaks, and what was uninstalled a moment ago does not.
            let staying: Vec<&running::Serving> =
                earlier.serving.iter().filter(|serving| serving.label == one.label && running::stays(&*guard.cluster, namespace, serving)).collect();
            let all = if staying.is_empty() {
                left = receipts::Newest::found_by(guard, namespace, named.release, &after);
                left.iter().map(|left| left.state(&after)).collect()
            } else {
                as_running(one, &running::counted(staying))
            };
            States { all, ..States::default() }
        }
        status => states_before(one, earlier, status == "pending-rollback"),
    };
    let resolved = befores.all.iter().cloned().map(resolved).collect();
    let judged = declared::judge(guard, (namespace, named.release), resolved, &mut after, false, &|found| told(found, one)).await;
    let mut all = judged.points;
    if let Some(running) = befores.that_run()
        && all.iter().any(is_about_written_data)
    {
        let found = findings(running, &after, guard.cluster.kubernetes());
        all.retain(|point| !is_about_written_data(point) || found.iter().any(|finding| finding.rule == point.rule));
    }
    all.extend(must_outlive(&after, one, earlier, judged.upgrade.as_ref(), &judged.findings));
    all.extend(of_cluster::points(guard, named, namespace, one, earlier, judged.upgrade.as_ref()));
    // Where another rule refuses it, too, nothing leads back.
    if all.iter().filter(|point| point.refuses()).all(|point| &*point.rule == LOWER_CHART)
        && let Some(point) = all.iter_mut().find(|point| point.refuses())
        && let Some(first) = judged.upgrade.as_ref().and_then(|upgrade| of_cluster::abort_first(upgrade, named, namespace, &one.declaration))
    {
        point.next = format!("{first}. Or: {}", point.next);
    }
    if !all.iter().any(Point::refuses) {
        all.extend(goes_early(guard, namespace, one, earlier, judged.upgrade.as_ref()));
    }
    if let Some(left) = left {
        let is_another = declared::milvus_of(&after).is_none_or(|milvus| milvus.to_string() != left.to);
        match all.iter_mut().find(|point| point.refuses()) {
            Some(point) => {
                let deletion = receipts::Newest::deletion(namespace, named.release);
                point.next.push_str(&format!(" {}. Where that data is gone: {deletion}", left.says()));
            }
            None if is_another => {
                let words = format!("{}, so another version is held. {}", left.says(), left.ways(namespace, named.release, true));
                all.push(Point::new("MV704", Severity::Warning, words, ""));
            }
            None => {}
        }
    }
    all
}

/// Whether a point is about data that the version before wrote: one that was only held wrote none.
fn is_about_written_data(point: &Point) -> bool {
    Policies::embedded().rule(&point.rule).is_some_and(|rule| rule.about_written_data)
}

fn told(found: &[Finding], one: &StoredMilvus) -> Vec<Point> {
    let mut all = points(found, &|_| Some("data.release".to_owned()));
    if let Some(point) = all.iter_mut().find(|point| &*point.rule == "MV108")
        && !one.nil_keys.is_empty()
    {
        let shown: Vec<&str> = one.nil_keys.iter().map(String::as_str).take(6).collect();
        let more = one.nil_keys.len().saturating_sub(shown.len());
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        point.message = format!("{} Nil: {}{rest}.", point.message, shown.join(", "));
    }
    all
}

/// What the rendered objects say otherwise than the values: a post-renderer, or a chart of somebody's own.
fn manifest_differs(one: &StoredMilvus) -> Option<String> {
    let rendered: Vec<&str> = one.parts.iter().map(|part| &*part.component).collect();
    let release = Release::resolve(Arc::new(one.declaration.clone()), None, &Default::default(), Catalogue::embedded());
    let missing: Vec<&str> = release
        .components
        .iter()
        .filter(|component| component.enabled.is_yes())
        .map(|component| component.name)
        .filter(|name| !rendered.contains(name))
        .collect();
    let unexpected: Vec<&&str> = rendered.iter().filter(|name| release.component(name).is_none()).collect();
    if let (Some(rendered), Fact::Known(said, _)) = (&one.queue, &release.queue)
        && !same_queue(rendered, said.kind)
    {
        return Some(format!("The rendered configuration says message queue {rendered}, and the values say {}.", word(said.kind)));
    }
    (!missing.is_empty() || !unexpected.is_empty()).then(|| {
        format!(
            "The rendered objects do not fit the values: {} should be there, {} should not; the rendered objects are what will run.",
            list(&missing),
            list(&unexpected)
        )
    })
}

/// A queue's name in Milvus's configuration.
fn word(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Pulsar => "pulsar",
        QueueKind::Kafka => "kafka",
        QueueKind::Rocksmq => "rocksmq",
        QueueKind::Natsmq => "natsmq",
        QueueKind::Woodpecker => "woodpecker",
    }
}

/// What chart 5 looks up in the cluster, RocksMQ or Woodpecker, is not told by values.
fn same_queue(rendered: &str, said: QueueKind) -> bool {
    let embedded = |name: &str| matches!(name, "rocksmq" | "woodpecker");
    rendered == word(said) || (embedded(rendered) && embedded(word(said)))
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    if names.is_empty() {
        return "nothing else".to_owned();
    }
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Coordinators that the change takes away while what replaces them is still held: once an upgrade is declared the controller keeps them, and says so (`Prepared`). Where the image stays there is
/// nothing to declare, and a waiver lets the coordinator that replaces them run (gate 3 reads the same waiver). With another image it would be held all the same.
fn must_outlive(after: &Declaration, one: &StoredMilvus, earlier: &Earlier, upgrade: Option<&Value>, found: &[Finding]) -> Option<Point> {
    let stays = |component: &str| one.parts.iter().any(|part: &Part| &*part.component == component);
    let to_separate = SEPARATE_COORDINATORS.iter().any(|component| stays(component));
    let is_replaced = |component: &str| SEPARATE_COORDINATORS.contains(&component) || (component == MIXED_COORDINATOR && to_separate);
    let running: Vec<&running::Serving> = earlier.serving.iter().filter(|serving| serving.label == one.label && serving.pods > 0).collect();
    let mut gone: Vec<&str> = running.iter().map(|serving| &*serving.component).filter(|component| is_replaced(component) && !stays(component)).collect();
    gone.dedup();
    let is_refused_anyway = found.iter().any(|finding| &*finding.rule == "MV206" && finding.severity == Severity::Error);
    if gone.is_empty() || is_refused_anyway || upgrade.is_some_and(api::is_prepared) {
        return None;
    }
    let namespace = after.identity.namespace.as_deref()?;
    let message = format!("{} would be deleted while what replaces them is still held.", list(&gone));
    let is_same_image = one.parts.iter().all(|part| running.iter().all(|serving| part.image.as_deref() == serving.image()));
    let annotate = format!("kubectl annotate namespace {namespace} --overwrite");
    let glass = format!("{annotate} '{BREAK_GLASS_ANNOTATION}=until=YYYY-MM-DDTHH:MM:SSZ reason=\"WHY\"'");
    let name = upgrade.and_then(|upgrade| text(upgrade, "/metadata/name"));
    let failed = upgrade.filter(|upgrade| text(upgrade, "/status/phase") == Some("Failed")).and_then(|upgrade| text(upgrade, "/status/message"));
    let (next, missing) = match (is_same_image, name) {
        (false, Some(_)) if failed.is_some() => {
            (format!("The declared upgrade cannot be carried out: {} To pass all gates: {glass}", failed.unwrap_or_default()), None)
        }
        (true, _) => (
            format!(
                "To switch at once, with a short outage: {annotate} '{ALLOW_ANNOTATION}=MV711 until=YYYY-MM-DD reason=\"WHY\"'. To pass all gates: {glass}"
            ),
            None,
        ),
        (false, Some(name)) => (
            format!(
                "Wait until the declared upgrade keeps them, and run this again: kubectl wait -n {namespace} --for=condition=Prepared guardedupgrade/{name} --timeout=5m. To pass all gates: {glass}"
            ),
            None,
        ),
        (false, None) => (
            String::new(),
            declared::milvus_of(after).map(|to| api::guarded_upgrade(namespace, after.identity.name.as_deref().unwrap_or_default(), &to.to_string())),
        ),
    };
    Some(Point { takes_no_waiver: !is_same_image, missing, ..Point::new("MV711", Severity::Error, message, next) })
}

/// A component that the version after does not have, and that Helm deletes while all others are still held: what it did waits until the upgrade is done. Coordinators are worth more than a word.
fn goes_early<C: Cluster>(guard: &Guard<C>, namespace: &str, one: &StoredMilvus, earlier: &Earlier, upgrade: Option<&Value>) -> Option<Point> {
    let stays = |serving: &running::Serving| one.parts.iter().any(|part| part.component == serving.component);
    let is_coordinator = |component: &str| component == MIXED_COORDINATOR || SEPARATE_COORDINATORS.contains(&component);
    let is_kept = |serving: &running::Serving| {
        let live = guard.cluster.object(Kind::Deployment, namespace, &serving.deployment);
        live.is_some_and(|live| annotation(&live, KEEP.0) == Some(KEEP.1))
    };
    let running: Vec<&running::Serving> = earlier.serving.iter().filter(|serving| serving.label == one.label && serving.pods > 0).collect();
    let is_held = one.parts.iter().any(|part| !running.iter().any(|serving| part.image.as_deref() == serving.image()));
    let going = running.iter().find(|serving| !stays(serving) && !is_coordinator(&serving.component) && !is_kept(serving))?;
    if !is_held || upgrade.is_some_and(api::is_prepared) {
        return None;
    }
    let (component, name) = (&going.component, &going.deployment);
    let message = format!(
        "Helm deletes {component} at once, and the rest is still held. Declare the upgrade first (Prepared), or keep it by hand: kubectl annotate -n {namespace} deployment/{name} {}={}",
        KEEP.0, KEEP.1
    );
    Some(Point::new("MV711", Severity::Warning, message, ""))
}

fn exceptions<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str, request: &Request) -> Exceptions {
    let mut objects: Vec<Arc<Value>> = guard.cluster.object(Kind::GuardedUpgrade, namespace, release).into_iter().collect();
    objects.extend(guard.namespace(namespace));
    Exceptions::read(objects.iter().map(|object| &**object).chain([&request.object]), Timestamp::now()).noting(guard.unknown_mode(namespace))
}

fn finish<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, request: &Request, points: Vec<Point>) -> Answer {
    let exceptions = exceptions(guard, namespace, named.release, request);
    answer(points, &Terms { mode: guard.mode(namespace), exceptions: &exceptions, user: &request.user_info, dry_run: request.is_dry_run() })
}

/// A release that cannot be read.
fn undecodable<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, request: &Request, error: &DecodeError) -> Answer {
    let runs_milvus = !running::serving(&*guard.cluster, namespace, named.release).is_empty();
    let severity = if runs_milvus { Severity::Error } else { Severity::Warning };
    let message = format!("The stored release {} cannot be read: {error}.", named.release);
    let next = if runs_milvus { "Milvus runs under this name, so nothing is changed unseen." } else { "It was not judged." };
    let mut answer = finish(guard, named, namespace, request, vec![Point::new("MV901", severity, message, next)]);
    answer.audit.insert(UNDECODABLE.into(), error.to_string());
    answer
}

/// A release without Milvus: worth a word where Milvus runs under its name.
fn gone<C: Cluster>(guard: &Guard<C>, named: &Named<'_>, namespace: &str, request: &Request) -> Answer {
    if running::serving(&*guard.cluster, namespace, named.release).iter().all(|serving| serving.pods == 0) {
        return Answer::admitted();
    }
    let message = format!("Release {} no longer renders the Milvus that runs under its name: Helm deletes it.", named.release);
    finish(guard, named, namespace, request, vec![Point::new("MV902", Severity::Warning, message, "")])
}

/// Decodes a stored release; nothing when it cannot be one with Milvus in it. Keeps a processor busy for as long as that takes. `other`: values of another revision, which may be the same.
pub(crate) fn decode(packed: &Packed, other: Option<&Carried>) -> Result<Option<Decoded>, DecodeError> {
    let json = packed.inflate()?;
    if !release::may_be_milvus(&json) {
        return Ok(None);
    }
    let release = StoredRelease::read_like(&json, other)?;
    drop(json);
    let renderings = milvus::renderings(&release.manifest);
    Ok(Some(Decoded { release, renderings }))
}

#[cfg(test)]
mod tests;
