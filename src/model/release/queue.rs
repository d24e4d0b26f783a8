//! The effective message queue: what the chart's configuration template makes of the values, block by block.

use std::sync::Arc;

use super::topology::own_woodpecker;
use super::view::{Switch, View};
use super::{Mode, Queue, QueueKind, QueueServer, Release};
use crate::model::declaration::{Applier, Declaration, Operation, Rendered};
use crate::model::place::{Fact, Origin, Place};
use crate::model::truth::Truth;
use crate::model::value::Value;
use crate::model::version::ChartVersion;

const USER_YAML: &str = "extraConfigFiles.user\\.yaml";
const STANDALONE: &str = "standalone.messageQueue";
/// From here on the template looks the live Deployment up.
const LOOKUP_SINCE: ChartVersion = ChartVersion::new(5, 0, 0);

/// A queue that a block of the template decides on.
struct Decided {
    kind: QueueKind,
    server: QueueServer,
    by: &'static str,
    origin: Origin,
    by_lookup: bool,
}

type Decision = Result<Option<Decided>, Arc<str>>;

/// Finds the queue; absent when the values switch none on.
pub(super) fn resolve(view: &View<'_>, mode: Option<Mode>, declaration: &Declaration, before: Option<&Release>) -> Fact<Queue> {
    if view.since(2, 0, 0).is_no() {
        return Fact::Absent;
    }
    if let Value::Unknown(reason) = &view.config.value {
        return Fact::Unknown(Arc::clone(reason), view.config.origin.clone());
    }
    let decision = by_config(view).and_then(|decided| match decided {
        Some(decided) => Ok(Some(decided)),
        None => by_values(view, mode, declaration, before),
    });
    match decision {
        Ok(Some(decided)) => {
            let queue = Queue {
                kind: decided.kind,
                server: decided.server,
                address: address(view, &decided),
                decided_by: decided.by.into(),
                by_lookup: decided.by_lookup,
                channel_prefix: channel_prefix(view),
                pulsar_namespace: if decided.kind == QueueKind::Pulsar { pulsar_namespace(view, decided.server) } else { None },
            };
            Fact::Known(queue, decided.origin)
        }
        Ok(None) => Fact::Absent,
        Err(reason) => Fact::Unknown(reason, view.values.origin.clone()),
    }
}

/// The names that Milvus and the chart use.
fn kind_of(name: &str) -> Option<QueueKind> {
    Some(match name {
        "pulsar" => QueueKind::Pulsar,
        "kafka" => QueueKind::Kafka,
        "rocksmq" => QueueKind::Rocksmq,
        "natsmq" => QueueKind::Natsmq,
        "woodpecker" => QueueKind::Woodpecker,
        _ => return None,
    })
}

/// The user's own configuration overrides everything: `mq.type`, and `messageQueue` as it was once called. `default` leaves it to the rest.
fn by_config(view: &View<'_>) -> Decision {
    for path in ["mq.type", "messageQueue"] {
        match view.config_text(path) {
            Fact::Absent => {}
            Fact::Unknown(reason, _) => return Err(reason),
            Fact::Known(text, _) if text.as_ref() == "default" => {}
            Fact::Known(text, origin) => {
                let kind = kind_of(&text).ok_or_else(|| Arc::from(format!("{path} of user.yaml names no queue that Milvus has")))?;
                let server = match kind {
                    QueueKind::Pulsar if said(view, "pulsar.address") => QueueServer::External,
                    QueueKind::Kafka if said(view, "kafka.brokerList") => QueueServer::External,
                    QueueKind::Pulsar => pulsar(view)?.map_or(QueueServer::External, |decided| decided.server),
                    QueueKind::Kafka => kafka(view)?.map_or(QueueServer::External, |decided| decided.server),
                    QueueKind::Rocksmq | QueueKind::Natsmq => QueueServer::Embedded,
                    QueueKind::Woodpecker => woodpecker_server(view)?,
                };
                return Ok(Some(Decided { kind, server, by: USER_YAML, origin, by_lookup: false }));
            }
        }
    }
    Ok(None)
}

fn said(view: &View<'_>, config: &str) -> bool {
    !view.config_text(config).is_absent()
}

/// The template's blocks; a later one overrides an earlier one, so that the last one is asked first.
fn by_values(view: &View<'_>, mode: Option<Mode>, declaration: &Declaration, before: Option<&Release>) -> Decision {
    match mode {
        Some(Mode::Standalone) => match standalone(view, declaration, before)? {
            Some(decided) => return Ok(Some(decided)),
            None => {
                return match server_queue(view)? {
                    Some(decided) => Ok(Some(decided)),
                    // Milvus itself then falls back on what it has built in.
                    None => Err(format!("{STANDALONE} names no queue, and no other is switched on").into()),
                };
            }
        },
        Some(Mode::Cluster) => {}
        None => return Err("whether it is a cluster cannot be seen".into()),
    }
    server_queue(view)
}

/// The blocks on Kafka and Pulsar.
fn server_queue(view: &View<'_>) -> Decision {
    match kafka(view)? {
        Some(decided) => Ok(Some(decided)),
        None => pulsar_block(view),
    }
}

fn decided(kind: QueueKind, server: QueueServer, by: &'static str, origin: Origin) -> Decided {
    Decided { kind, server, by, origin, by_lookup: false }
}

fn kafka(view: &View<'_>) -> Decision {
    for (path, server) in [("externalKafka.enabled", QueueServer::External), ("kafka.enabled", QueueServer::BuiltInKafka)] {
        match view.switch_since(path, (3, 0, 14)) {
            Switch::On(origin) => return Ok(Some(decided(QueueKind::Kafka, server, path, origin))),
            Switch::Off => {}
            Switch::Unknown(reason) => return Err(reason),
        }
    }
    Ok(None)
}

/// External Pulsar, Pulsar 2, Woodpecker, Pulsar 3, in this order.
fn pulsar_block(view: &View<'_>) -> Decision {
    let blocks = [
        ("externalPulsar.enabled", (2, 0, 0), QueueKind::Pulsar, Some(QueueServer::External)),
        ("pulsar.enabled", (2, 0, 0), QueueKind::Pulsar, Some(QueueServer::BuiltInPulsar2)),
        ("woodpecker.enabled", (4, 2, 42), QueueKind::Woodpecker, None),
        ("pulsarv3.enabled", (4, 2, 21), QueueKind::Pulsar, Some(QueueServer::BuiltInPulsar3)),
    ];
    for (path, since, kind, server) in blocks {
        match view.switch_since(path, since) {
            Switch::On(origin) => {
                let server = server.map_or_else(|| woodpecker_server(view), Ok)?;
                return Ok(Some(decided(kind, server, path, origin)));
            }
            Switch::Off => {}
            Switch::Unknown(reason) => return Err(reason),
        }
    }
    Ok(None)
}

/// The Pulsar that the values would render, whatever queue is in force.
fn pulsar(view: &View<'_>) -> Decision {
    Ok(pulsar_block(view)?.filter(|decided| decided.kind == QueueKind::Pulsar))
}

fn woodpecker_server(view: &View<'_>) -> Result<QueueServer, Arc<str>> {
    match own_woodpecker(view) {
        Truth::Yes => Ok(QueueServer::BuiltInWoodpecker),
        Truth::No => Ok(QueueServer::Embedded),
        Truth::Maybe => Err("whether Woodpecker is embedded cannot be seen".into()),
    }
}

/// The block on standalone: `standalone.messageQueue` where it names an embedded queue.
fn standalone(view: &View<'_>, declaration: &Declaration, before: Option<&Release>) -> Decision {
    // Before the value existed a standalone always ran RocksMQ.
    if view.since(3, 0, 23).is_no() {
        return Ok(Some(decided(QueueKind::Rocksmq, QueueServer::Embedded, "cluster.enabled", Origin::ChartDefault)));
    }
    let (text, origin) = match view.text(STANDALONE) {
        Fact::Known(text, origin) => (text, origin),
        Fact::Unknown(reason, _) => return Err(reason),
        Fact::Absent => return Ok(None),
    };
    let known_since = match text.as_ref() {
        "rocksmq" => Truth::Yes,
        "natsmq" => view.since(4, 0, 33),
        "woodpecker" => view.since(5, 0, 0),
        _ => Truth::No,
    };
    match (kind_of(&text), known_since) {
        (_, Truth::Maybe) => Err("the chart version is not known".into()),
        (None, _) | (_, Truth::No) => Ok(None),
        (Some(QueueKind::Woodpecker), Truth::Yes) => Ok(Some(looked_up(view, declaration, before, origin)?)),
        (Some(kind), Truth::Yes) => Ok(Some(decided(kind, QueueServer::Embedded, STANDALONE, origin))),
    }
}

/// From chart 5 on, `woodpecker` (the default too) is only what a fresh install gets: on an upgrade the template looks the live Deployment up. Its annotation, which charts
/// write since 5.0.0, decides; a Deployment without it means RocksMQ. Nothing is looked up where the chart is rendered away from the cluster.
fn looked_up(view: &View<'_>, declaration: &Declaration, before: Option<&Release>, origin: Origin) -> Result<Decided, Arc<str>> {
    let fresh = declaration.applier == Applier::Template || matches!(declaration.operation, Operation::Install | Operation::Template);
    let kind = match before.filter(|_| !fresh) {
        Some(before) if before.mode == Some(Mode::Standalone) => match before.chart.at_least(&LOOKUP_SINCE) {
            Truth::No => QueueKind::Rocksmq,
            Truth::Yes => before
                .queue
                .known()
                .map(|queue| queue.kind)
                .ok_or_else(|| Arc::from("the queue of the running release is not known, and the chart keeps it"))?,
            Truth::Maybe => return Err("whether the running Deployment tells its queue is not known, and the chart looks it up".into()),
        },
        _ => QueueKind::Woodpecker,
    };
    let server = match kind {
        QueueKind::Woodpecker => woodpecker_server(view)?,
        QueueKind::Rocksmq | QueueKind::Natsmq => QueueServer::Embedded,
        QueueKind::Pulsar | QueueKind::Kafka => server_queue(view)?.map_or(QueueServer::External, |decided| decided.server),
    };
    Ok(Decided { kind, server, by: STANDALONE, origin, by_lookup: !fresh })
}

fn address(view: &View<'_>, decided: &Decided) -> Option<Arc<str>> {
    if decided.server != QueueServer::External {
        return None;
    }
    match decided.kind {
        QueueKind::Pulsar => match view.config_text("pulsar.address") {
            Fact::Known(address, _) => Some(join(&address, view.config_text("pulsar.port").known())),
            Fact::Unknown(..) => None,
            Fact::Absent => view.text("externalPulsar.host").known().map(|host| join(host, view.text("externalPulsar.port").known())),
        },
        QueueKind::Kafka => view.config_or_value("kafka.brokerList", "externalKafka.brokerList").known().cloned(),
        QueueKind::Rocksmq | QueueKind::Natsmq | QueueKind::Woodpecker => None,
    }
}

fn join(host: &str, port: Option<&Arc<str>>) -> Arc<str> {
    match port {
        Some(port) if !host.contains("://") && !host.contains(':') => format!("{host}:{port}").into(),
        _ => host.into(),
    }
}

/// The prefix of all channels: a value until chart 4.0.0, configuration since, `by-dev` by default.
fn channel_prefix(view: &View<'_>) -> Option<Arc<str>> {
    const PREFIX: &str = "msgChannel.chanNamePrefix.cluster";
    for path in [PREFIX, "common.chanNamePrefix.cluster"] {
        match view.config_text(path) {
            Fact::Known(prefix, _) => return Some(prefix),
            Fact::Unknown(..) => return None,
            Fact::Absent => {}
        }
    }
    match view.since(4, 0, 0) {
        Truth::Yes => Some("by-dev".into()),
        Truth::Maybe => None,
        Truth::No => match view.text(PREFIX) {
            Fact::Known(prefix, _) => Some(prefix),
            Fact::Unknown(..) => None,
            Fact::Absent => Some("by-dev".into()),
        },
    }
}

/// `tenant/namespace`: of an external Pulsar a value since chart 3.3.3, else Milvus's default.
fn pulsar_namespace(view: &View<'_>, server: QueueServer) -> Option<Arc<str>> {
    let part = |config: &str, value: &str, default: &str| match view.config_text(config) {
        Fact::Known(text, _) => Some(text),
        Fact::Unknown(..) => None,
        Fact::Absent if server != QueueServer::External || view.since(3, 3, 3).is_no() => Some(default.into()),
        Fact::Absent => match view.text(value) {
            Fact::Known(text, _) => Some(text),
            Fact::Unknown(..) => None,
            Fact::Absent => Some(default.into()),
        },
    };
    let tenant = part("pulsar.tenant", "externalPulsar.tenant", "public")?;
    let namespace = part("pulsar.namespace", "externalPulsar.namespace", "default")?;
    Some(format!("{tenant}/{namespace}").into())
}

/// The queue as rendered objects tell it; for Pulsar and Kafka they do not tell whose server it is.
pub(super) fn rendered(rendered: &Rendered, place: &Place) -> Fact<Queue> {
    let origin = Origin::At(place.clone());
    let Some(name) = &rendered.message_queue else {
        return Fact::Unknown("the rendered configuration is not in sight".into(), origin);
    };
    let Some(kind) = kind_of(name) else {
        return Fact::Unknown("the rendered configuration names no queue that Milvus has".into(), origin);
    };
    let server = match kind {
        QueueKind::Pulsar | QueueKind::Kafka => QueueServer::Unknown,
        QueueKind::Rocksmq | QueueKind::Natsmq | QueueKind::Woodpecker => QueueServer::Embedded,
    };
    Fact::Known(Queue { kind, server, address: None, decided_by: "mq.type".into(), by_lookup: false, channel_prefix: None, pulsar_namespace: None }, origin)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// Chart, values, and what comes out: `kind server decided_by`, or `none`, or `unknown`.
    fn told(queue: &Fact<Queue>) -> String {
        match queue {
            Fact::Known(queue, _) => format!("{:?} {:?} {}", queue.kind, queue.server, queue.decided_by),
            Fact::Absent => "none".into(),
            Fact::Unknown(..) => "unknown".into(),
        }
    }

    #[test]
    fn each_block_of_the_template_decides_as_it_does_in_the_chart() {
        let standalone = r#"{"cluster":{"enabled":false}}"#;
        let table: &[(&str, &str, &str)] = &[
            // Defaults by era, cluster.
            ("2.2.0", "{}", "Pulsar BuiltInPulsar2 pulsar.enabled"),
            ("4.2.26", "{}", "Pulsar BuiltInPulsar2 pulsar.enabled"),
            ("4.2.27", "{}", "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            ("5.0.19", "{}", "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            // Defaults by era, standalone.
            ("2.1.0", "{}", "Rocksmq Embedded cluster.enabled"),
            ("3.0.22", standalone, "Rocksmq Embedded cluster.enabled"),
            ("3.0.23", standalone, "Rocksmq Embedded standalone.messageQueue"),
            ("4.2.58", standalone, "Rocksmq Embedded standalone.messageQueue"),
            ("5.0.0", standalone, "Woodpecker Embedded standalone.messageQueue"),
            // Pulsar's block: external, Pulsar 2, Woodpecker, Pulsar 3.
            ("4.2.58", r#"{"externalPulsar":{"enabled":true},"pulsar":{"enabled":true}}"#, "Pulsar External externalPulsar.enabled"),
            ("4.2.58", r#"{"pulsar":{"enabled":true}}"#, "Pulsar BuiltInPulsar2 pulsar.enabled"),
            ("4.2.58", r#"{"woodpecker":{"enabled":true}}"#, "Woodpecker Embedded woodpecker.enabled"),
            ("4.2.41", r#"{"woodpecker":{"enabled":true}}"#, "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            ("5.0.19", r#"{"woodpecker":{"enabled":true}}"#, "Woodpecker Embedded woodpecker.enabled"),
            ("5.0.19", r#"{"woodpecker":{"enabled":true},"streaming":{"woodpecker":{"embedded":false}}}"#, "Woodpecker BuiltInWoodpecker woodpecker.enabled"),
            ("4.2.58", r#"{"pulsarv3":{"enabled":false}}"#, "none"),
            ("4.2.20", r#"{"pulsar":{"enabled":false},"pulsarv3":{"enabled":true}}"#, "none"),
            // Kafka overrides Pulsar.
            ("4.2.58", r#"{"kafka":{"enabled":true}}"#, "Kafka BuiltInKafka kafka.enabled"),
            ("4.2.58", r#"{"externalKafka":{"enabled":true},"kafka":{"enabled":true}}"#, "Kafka External externalKafka.enabled"),
            ("3.0.13", r#"{"kafka":{"enabled":true}}"#, "Pulsar BuiltInPulsar2 pulsar.enabled"),
            // Standalone's value overrides both, where it names an embedded queue of that chart.
            ("4.2.58", r#"{"cluster":{"enabled":false},"kafka":{"enabled":true}}"#, "Rocksmq Embedded standalone.messageQueue"),
            ("4.2.58", r#"{"cluster":{"enabled":false},"kafka":{"enabled":true},"standalone":{"messageQueue":"kafka"}}"#, "Kafka BuiltInKafka kafka.enabled"),
            ("4.2.58", r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"natsmq"}}"#, "Natsmq Embedded standalone.messageQueue"),
            ("4.0.32", r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"natsmq"}}"#, "Pulsar BuiltInPulsar2 pulsar.enabled"),
            ("4.2.58", r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"woodpecker"}}"#, "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            ("5.0.19", r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"rocksmq"}}"#, "Rocksmq Embedded standalone.messageQueue"),
            ("4.2.20", r#"{"cluster":{"enabled":false},"pulsar":{"enabled":false},"standalone":{"messageQueue":""}}"#, "unknown"),
            ("4.2.58", r#"{"standalone":{"messageQueue":"natsmq"}}"#, "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            // The user's configuration overrides everything, a ConfigMap of the user's hides everything.
            (
                "4.2.58",
                r#"{"extraConfigFiles":{"user.yaml":"mq:\n  type: kafka\nkafka:\n  brokerList: k:9092\n"}}"#,
                "Kafka External extraConfigFiles.user\\.yaml",
            ),
            ("4.2.58", r#"{"extraConfigFiles":{"user.yaml":"messageQueue: rocksmq\n"}}"#, "Rocksmq Embedded extraConfigFiles.user\\.yaml"),
            ("4.2.58", r#"{"extraConfigFiles":{"user.yaml":"mq:\n  type: default\n"}}"#, "Pulsar BuiltInPulsar3 pulsarv3.enabled"),
            (
                "4.2.58",
                r#"{"pulsar":{"enabled":true},"extraConfigFiles":{"user.yaml":"mq:\n  type: pulsar\n"}}"#,
                "Pulsar BuiltInPulsar2 extraConfigFiles.user\\.yaml",
            ),
            ("4.2.58", r#"{"extraConfigFiles":{"user.yaml":"mq:\n  type: foo\n"}}"#, "unknown"),
            ("3.3.1", r#"{"extraConfigFiles":{"user.yaml":"mq:\n  type: kafka\n"}}"#, "Pulsar BuiltInPulsar2 pulsar.enabled"),
            ("4.2.58", r#"{"customConfigMap":"mine"}"#, "unknown"),
            ("4.1.34", r#"{"customConfigMap":"mine"}"#, "Pulsar BuiltInPulsar2 pulsar.enabled"),
            // Milvus 1.
            ("1.1.6", "{}", "none"),
        ];
        for (chart, values, expected) in table {
            assert_eq!(told(&fixture::release(chart, values).queue), *expected, "{chart} {values}");
        }
    }

    #[test]
    fn an_external_queue_has_an_address_and_pulsar_its_namespace() {
        let queue = |chart: &str, values: &str| fixture::release(chart, values).queue.known().unwrap().clone();
        let pulsar = queue("4.2.58", r#"{"externalPulsar":{"enabled":true,"host":"pulsar.example","tenant":"milvus"}}"#);
        assert_eq!((pulsar.address.as_deref(), pulsar.pulsar_namespace.as_deref()), (Some("pulsar.example:6650"), Some("milvus/default")));
        let kafka = queue("4.2.58", r#"{"externalKafka":{"enabled":true,"brokerList":"a:9092,b:9092"}}"#);
        assert_eq!((kafka.address.as_deref(), kafka.pulsar_namespace), (Some("a:9092,b:9092"), None));
        assert_eq!(queue("4.2.58", "{}").pulsar_namespace.as_deref(), Some("public/default"));
        let prefix = r#"{"msgChannel":{"chanNamePrefix":{"cluster":"mine"}}}"#;
        assert_eq!(queue("3.3.6", prefix).channel_prefix.as_deref(), Some("mine"));
        assert_eq!(queue("4.0.0", prefix).channel_prefix.as_deref(), Some("by-dev"));
        let config = r#"{"extraConfigFiles":{"user.yaml":"msgChannel:\n  chanNamePrefix:\n    cluster: own\n"}}"#;
        assert_eq!(queue("4.0.0", config).channel_prefix.as_deref(), Some("own"));
    }

    #[test]
    fn chart_5_looks_the_running_standalone_up_where_the_applier_can() {
        let standalone = r#"{"cluster":{"enabled":false}}"#;
        let explicit = r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"woodpecker"}}"#;
        let pulsar = r#"{"cluster":{"enabled":false},"pulsar":{"enabled":true},"standalone":{"messageQueue":"pulsar"}}"#;
        let rocksmq_5 = r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"rocksmq"}}"#;
        type Row<'a> = (Option<(&'a str, &'a str)>, &'a str, Applier, QueueKind, bool);
        let table: &[Row<'_>] = &[
            (Some(("4.2.58", standalone)), standalone, Applier::HelmUpgrade, QueueKind::Rocksmq, true),
            (Some(("4.2.58", standalone)), standalone, Applier::Unknown, QueueKind::Rocksmq, true),
            (Some(("4.2.58", standalone)), standalone, Applier::Template, QueueKind::Woodpecker, false),
            (Some(("4.2.58", standalone)), explicit, Applier::HelmUpgrade, QueueKind::Rocksmq, true),
            // A Deployment of an earlier chart has no annotation: it counts as RocksMQ whatever it ran.
            (Some(("4.2.58", pulsar)), standalone, Applier::HelmUpgrade, QueueKind::Rocksmq, true),
            (Some(("5.0.4", rocksmq_5)), standalone, Applier::HelmUpgrade, QueueKind::Rocksmq, true),
            (Some(("5.0.4", standalone)), standalone, Applier::HelmUpgrade, QueueKind::Woodpecker, true),
            (Some(("5.0.4", standalone)), rocksmq_5, Applier::HelmUpgrade, QueueKind::Rocksmq, false),
            // A cluster has no standalone Deployment.
            (Some(("4.2.58", "{}")), standalone, Applier::HelmUpgrade, QueueKind::Woodpecker, true),
            (None, standalone, Applier::HelmUpgrade, QueueKind::Woodpecker, true),
        ];
        for (before, values, applier, kind, by_lookup) in table {
            let before = before.map(|(chart, values)| fixture::release(chart, values));
            let mut after = fixture::declaration(Some("5.0.19"), values);
            after.applier = *applier;
            let release = fixture::resolve(after, before.as_ref());
            let queue = release.queue.known().unwrap();
            assert_eq!((queue.kind, queue.by_lookup), (*kind, *by_lookup), "{values} {applier:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_leaves_the_queue_unknown_unless_it_is_decided_above() {
        let mut hidden = fixture::declaration(Some("4.2.58"), r#"{"cluster":{"enabled":true}}"#);
        hidden.layers.insert(0, fixture::unseen());
        assert!(fixture::resolve(hidden, None).queue.is_unknown());
        // With the chart unknown, values that decide in every chart still decide.
        let mut foreign = fixture::declaration(Some("newest"), r#"{"cluster":{"enabled":false},"standalone":{"messageQueue":"rocksmq"}}"#);
        assert!(fixture::resolve(foreign.clone(), None).queue.known().is_some_and(|queue| queue.kind == QueueKind::Rocksmq));
        foreign.layers.clear();
        assert!(fixture::resolve(foreign, None).queue.is_unknown());
    }
}
