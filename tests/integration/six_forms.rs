//! One pull request, expressed in six forms, gives the same verdicts of MV2 to MV6: what a release is does not depend on how it is written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use milvus_guard::model::finding::Severity;

use crate::forms::{Form, SIX_FORMS, State, Verdict, shown, values};

/// A change: chart and values (in short) before and after, and what must be found: all errors and warnings, and those infos that are named.
struct Case {
    name: &'static str,
    before: (&'static str, &'static str),
    after: (&'static str, &'static str),
    expected: &'static str,
}

const fn case(name: &'static str, before: (&'static str, &'static str), after: (&'static str, &'static str), expected: &'static str) -> Case {
    Case { name, before, after, expected }
}

/// Where a form rightly says something else than Flux.
struct Exception {
    case: &'static str,
    form: Form,
    /// What Flux says.
    instead_of: &'static str,
    /// What the form says.
    says: &'static str,
    reason: &'static str,
}

/// Words of the table for values that stand together.
const WORDS: &[(&str, &str)] = &[
    ("STANDALONE", "cluster.enabled: false; etcd.replicaCount: 1; minio.mode: standalone; pulsar.enabled: false; pulsarv3.enabled: false"),
    (
        "SEPARATE",
        "mixCoordinator.enabled: false; rootCoordinator.enabled: true; queryCoordinator.enabled: true; dataCoordinator.enabled: true; indexCoordinator.enabled: true",
    ),
    ("KAFKA", "pulsar.enabled: false; pulsarv3.enabled: false; kafka.enabled: true"),
    ("PULSAR2", "pulsar.enabled: true; pulsarv3.enabled: false"),
    ("EXTERNAL", "pulsar.enabled: false; pulsarv3.enabled: false; externalPulsar.enabled: true; externalPulsar.port: 6650"),
    ("TAG", "image.all.tag"),
];

const RENDERED: &str = "Argo CD renders as an install: the init Jobs of Pulsar run, and only the queue itself is another one";
const UNKNOWN: &str = "nobody knows what applies an umbrella chart: no word on Jobs that may run";
const NO_LOOK_UP: &str = "Argo CD cannot look at the live Deployment: the queue is switched for certain";

const EXCEPTIONS: &[Exception] = &[
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::ArgoCd, instead_of: "MV404 E", says: "MV401 E", reason: RENDERED },
    Exception { case: "Kafka to the chart's Pulsar 3", form: Form::Umbrella, instead_of: "MV404 E", says: "MV401 E", reason: UNKNOWN },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::ArgoCd, instead_of: "MV404 E", says: "MV413 E", reason: RENDERED },
    Exception { case: "a Pulsar elsewhere to the chart's own", form: Form::Umbrella, instead_of: "MV404 E", says: "MV413 E", reason: UNKNOWN },
    Exception { case: "a standalone that leaves its queue open", form: Form::ArgoCd, instead_of: "MV406 W", says: "MV406 E", reason: NO_LOOK_UP },
];

const CASES: &[Case] = &[
    // Nothing to say
    case("a patch within 2.6", ("5.0.17", ""), ("5.0.19", ""), ""),
    case("a patch by the tag", ("5.0.19", "TAG: v2.6.15"), ("5.0.19", "TAG: v2.6.16"), ""),
    case("more query nodes", ("5.0.19", "queryNode.replicas: 2"), ("5.0.19", "queryNode.replicas: 3"), ""),
    case(
        "a standalone that names its queue",
        ("5.0.17", "STANDALONE; standalone.messageQueue: rocksmq"),
        ("5.0.19", "STANDALONE; standalone.messageQueue: rocksmq"),
        "",
    ),
    case("Pulsar 2 is kept", ("4.2.20", "TAG: v2.4.24"), ("4.2.58", "TAG: v2.5.22; PULSAR2"), ""),
    // Version path
    case("2.5.8 to 2.6.15", ("4.2.44", ""), ("5.0.19", ""), "MV205 E, MV506 W"),
    case("the tag decides, not the chart", ("4.2.58", "TAG: v2.5.15"), ("5.0.19", "TAG: v2.6.16"), "MV205 E, MV506 W"),
    case("2.5.22 to 2.6.16", ("4.2.58", "TAG: v2.5.22"), ("5.0.19", "TAG: v2.6.16"), "MV210 W, MV506 W"),
    case("a better target is known", ("4.2.58", "TAG: v2.5.22"), ("5.0.19", ""), "MV210 W, MV219 W, MV506 W"),
    case("2.1.4 to 2.2.13", ("3.2.18", ""), ("4.0.31", ""), "MV201 E, MV210 W, MV216 W"),
    case("2.0.2 to 2.3.12", ("3.0.28", ""), ("4.1.26", "TAG: v2.3.12"), "MV202 E, MV216 W"),
    case("2.2.9 to 2.4.24", ("4.0.24", ""), ("4.2.20", "TAG: v2.4.24"), "MV204 W, MV305 W"),
    case("2.2.16 to 2.4.24", ("4.0.34", "TAG: v2.2.16"), ("4.2.20", "TAG: v2.4.24"), "MV218 I, MV305 W"),
    case("2.5.22 to 3.0.0", ("4.2.58", "TAG: v2.5.22"), ("5.0.19", "TAG: v3.0.0"), "MV208 E, MV506 W"),
    case("2.6.20 to 3.0.0", ("5.0.19", "TAG: v2.6.20"), ("5.0.19", "TAG: v3.0.0"), "MV209 W, MV210 E"),
    case("2.6 back to 2.5", ("5.0.19", "TAG: v2.6.16"), ("5.0.19", "TAG: v2.5.22"), "MV211 E"),
    case("2.5 back to 2.4", ("4.2.58", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.4.24"), "MV212 W"),
    case("a patch back", ("5.0.19", "TAG: v2.6.16"), ("5.0.19", "TAG: v2.6.15"), "MV212 I"),
    case("a release that its own notes withdraw", ("4.2.12", ""), ("4.2.13", ""), "MV215 E"),
    case("a vulnerable release", ("5.0.3", ""), ("5.0.6", ""), "MV216 W, MV506 W"),
    case("a tag that tells no version", ("5.0.19", ""), ("5.0.19", "TAG: team-build"), "MV222 W"),
    // Topology
    case("separate coordinators run", ("4.2.58", "TAG: v2.5.22; SEPARATE"), ("5.0.19", "TAG: v2.6.16"), "MV206 E, MV210 W, MV506 W"),
    case("separate coordinators are asked for", ("5.0.19", ""), ("5.0.19", "SEPARATE"), "MV207 E"),
    case("no streaming node", ("5.0.19", ""), ("5.0.19", "streaming.enabled: false"), "MV207 E"),
    case("two mix coordinators, none on standby", ("5.0.19", ""), ("5.0.19", "mixCoordinator.replicas: 2"), "MV303 E"),
    case("two mix coordinators, one on standby", ("5.0.19", ""), ("5.0.19", "mixCoordinator.replicas: 2; mixCoordinator.activeStandby.enabled: true"), ""),
    case("both kinds of coordinators", ("4.2.58", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.5.22; rootCoordinator.enabled: true"), "MV304 E"),
    case("the default of coordinators flips", ("4.2.0", "TAG: v2.4.24"), ("4.2.20", "TAG: v2.4.24"), "MV305 W"),
    case("no query node is left", ("5.0.19", ""), ("5.0.19", "queryNode.replicas: 0"), "MV309 E"),
    case("the proxy is switched off", ("5.0.19", ""), ("5.0.19", "proxy.enabled: false"), "MV309 E"),
    // Mode
    case("a cluster becomes a standalone", ("4.2.58", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.5.22; cluster.enabled: false"), "MV213 E"),
    case("a standalone becomes a cluster", ("4.2.58", "TAG: v2.5.22; cluster.enabled: false"), ("4.2.58", "TAG: v2.5.22; cluster.enabled: true"), "MV213 E"),
    case("the word on the mode is lost", ("4.2.58", "TAG: v2.5.22; cluster.enabled: false"), ("4.2.58", "TAG: v2.5.22"), "MV214 E"),
    // Message queue
    case("Pulsar to Kafka", ("4.2.58", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.5.22; KAFKA"), "MV401 E, MV414 W"),
    case(
        "a standalone changes its queue",
        ("4.2.58", "TAG: v2.5.22; STANDALONE"),
        ("4.2.58", "TAG: v2.5.22; STANDALONE; standalone.messageQueue: natsmq"),
        "MV401 E",
    ),
    case("the default of Pulsar flips", ("4.2.20", "TAG: v2.4.24"), ("4.2.58", "TAG: v2.5.22"), "MV402 E"),
    case("charts that break Pulsar 2", ("4.2.20", "TAG: v2.4.24"), ("4.2.24", "TAG: v2.4.24"), "MV403 E"),
    case("Kafka to the chart's Pulsar 3", ("5.0.19", "KAFKA"), ("5.0.19", ""), "MV404 E"),
    case("a Pulsar elsewhere to the chart's own", ("5.0.19", "EXTERNAL; externalPulsar.host: p.example.org"), ("5.0.19", ""), "MV404 E"),
    case(
        "Pulsar 2 to Pulsar 3 by hand",
        ("4.2.58", "TAG: v2.5.22; PULSAR2"),
        ("4.2.58", "TAG: v2.5.22; pulsar.enabled: false; pulsarv3.enabled: true"),
        "MV405 E",
    ),
    case(
        "a standalone that leaves its queue open",
        ("4.2.58", "TAG: v2.5.22; STANDALONE"),
        ("5.0.19", "TAG: v2.6.16; STANDALONE"),
        "MV210 W, MV406 W, MV506 W",
    ),
    case(
        "NATS with 2.6",
        ("4.2.58", "TAG: v2.5.22; STANDALONE; standalone.messageQueue: natsmq"),
        ("5.0.19", "TAG: v2.6.16; STANDALONE; standalone.messageQueue: natsmq"),
        "MV210 W, MV407 E, MV506 W",
    ),
    case(
        "a Pulsar that nobody uses",
        ("4.2.20", "TAG: v2.4.24; pulsar.enabled: false; kafka.enabled: true"),
        ("4.2.58", "TAG: v2.5.22; pulsar.enabled: false; kafka.enabled: true"),
        "MV408 W, MV414 W",
    ),
    case("two queues at once", ("5.0.19", "pulsarv3.enabled: true"), ("5.0.19", "pulsarv3.enabled: true; kafka.enabled: true"), "MV401 E, MV409 E"),
    case("no queue at all", ("5.0.19", ""), ("5.0.19", "pulsarv3.enabled: false"), "MV410 E"),
    case(
        "another address of Pulsar",
        ("5.0.19", "EXTERNAL; externalPulsar.host: p.example.org"),
        ("5.0.19", "EXTERNAL; externalPulsar.host: q.example.org"),
        "MV413 W",
    ),
    case(
        "another tenant of Pulsar",
        ("5.0.19", "EXTERNAL; externalPulsar.host: p.example.org"),
        ("5.0.19", "EXTERNAL; externalPulsar.host: p.example.org; externalPulsar.tenant: vectors"),
        "MV413 E",
    ),
    case("another prefix of channels", ("5.0.19", ""), ("5.0.19", "config msgChannel.chanNamePrefix.cluster: vectors"), "MV413 E"),
    case(
        "a Kafka that a standalone does not use",
        ("4.2.58", "TAG: v2.5.22; STANDALONE"),
        ("4.2.58", "TAG: v2.5.22; STANDALONE; kafka.enabled: true"),
        "MV414 W, MV416 W",
    ),
    case("a queue of standalone in a cluster", ("5.0.19", ""), ("5.0.19", "standalone.messageQueue: rocksmq"), "MV416 I"),
    // Metadata and storage
    case("another root of metadata", ("5.0.19", ""), ("5.0.19", "config etcd.rootPath: vectors"), "MV501 E"),
    case(
        "another etcd",
        ("5.0.19", "etcd.enabled: false; externalEtcd.enabled: true; externalEtcd.endpoints: [\"a:2379\"]"),
        ("5.0.19", "etcd.enabled: false; externalEtcd.enabled: true; externalEtcd.endpoints: [\"b:2379\"]"),
        "MV501 E",
    ),
    case("another bucket", ("5.0.19", ""), ("5.0.19", "minio.bucketName: vectors"), "MV502 E"),
    case("MinIO that reads no file systems", ("4.0.5", "TAG: v2.2.16; STANDALONE"), ("4.0.34", "TAG: v2.2.16; STANDALONE"), "MV216 W, MV503 E"),
    case("another etcd chart", ("5.0.4", "TAG: v2.6.16"), ("5.0.7", "TAG: v2.6.16"), "MV506 W"),
    case("a larger claim of a StatefulSet", ("5.0.19", ""), ("5.0.19", "etcd.persistence.size: 20Gi"), "MV508 E"),
    case(
        "a larger claim of a Deployment",
        ("5.0.19", "STANDALONE; standalone.messageQueue: rocksmq"),
        ("5.0.19", "STANDALONE; standalone.messageQueue: rocksmq; standalone.persistence.persistentVolumeClaim.size: 90Gi"),
        "MV508 W",
    ),
    case("another name of everything", ("5.0.19", ""), ("5.0.19", "nameOverride: vectors-two"), "MV509 E"),
    case(
        "the claim may go with the release",
        ("5.0.19", "STANDALONE; standalone.messageQueue: rocksmq"),
        ("5.0.19", "STANDALONE; standalone.messageQueue: rocksmq; standalone.persistence.annotations: {helm.sh/resource-policy: null}"),
        "MV510 E",
    ),
    case("resource groups of replicas", ("5.0.19", ""), ("5.0.19", "replicaResourceGroups: [rg1, rg2]"), "MV511 W"),
    case("nowhere to put data", ("5.0.19", ""), ("5.0.19", "minio.enabled: false"), "MV513 E"),
    case(
        "an image of Pulsar 3 under Pulsar 2",
        ("4.2.58", "TAG: v2.5.22; PULSAR2"),
        ("4.2.58", "TAG: v2.5.22; PULSAR2; pulsar.images.broker.tag: 3.0.7"),
        "MV514 E",
    ),
    // Values
    case("a value of old that guarded access", ("5.0.19", ""), ("5.0.19", "authorization.enabled: true"), "MV601 E"),
    case(
        "values of old",
        ("3.3.0", "dataCoordinator.segment.maxSize: 1024; TAG: v2.2.16"),
        ("4.0.34", "dataCoordinator.segment.maxSize: 1024; TAG: v2.2.16"),
        "MV216 W, MV601 W",
    ),
    case("a value that nothing reads", ("5.0.19", ""), ("5.0.19", "image.tag: v2.6.16"), "MV602 W"),
    case("a value is lost", ("5.0.19", "queryNode.replicas: 4"), ("5.0.19", ""), "MV603 W"),
    case("defaults flip", ("4.2.52", "TAG: v2.5.22"), ("4.2.58", "TAG: v2.5.22"), "MV604 I"),
    case("a switch that is a text", ("5.0.19", ""), ("5.0.19", "attu.enabled: \"false\""), "MV605 E"),
    case("a unit that is none", ("5.0.19", ""), ("5.0.19", "queryNode.resources.limits.memory: 2GiC"), "MV605 E"),
    case("configuration that is ignored", ("5.0.19", "customConfigMap: ours"), ("5.0.19", "customConfigMap: ours; config log.level: debug"), "MV607 W"),
    case("hosts of an old Ingress", ("5.0.19", ""), ("5.0.19", "ingress.enabled: true; ingress.hosts: [milvus.example.org]"), "MV608 W"),
];

#[test]
fn one_verdict_in_six_forms() {
    let mut wrong = String::new();
    for case in CASES {
        let (before, after) = (state(case.before), state(case.after));
        let verdicts = SIX_FORMS.map(|form| {
            let (mut verdict, changed) = form.judge(&before, &after);
            assert_eq!(changed, 1, "{}: {form:?}", case.name);
            verdict.retain(|id, _| ("MV2".."MV7").contains(&id.as_str()));
            (form, verdict)
        });
        let [(_, flux), ..] = &verdicts;
        for (form, verdict) in &verdicts {
            let said: BTreeSet<String> = words(&shown(verdict));
            let wanted = with_exceptions(words(&shown(flux)), case, *form);
            if said != wanted {
                let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>().join(", ");
                writeln!(wrong, "{}: {form:?} says [{}] where Flux says [{}]", case.name, only(&said, &wanted), only(&wanted, &said)).unwrap();
            }
        }
        let told: Verdict =
            flux.iter().filter(|(id, severity)| **severity > Severity::Info || case.expected.contains(id.as_str())).map(|(id, s)| (id.clone(), *s)).collect();
        if shown(&told) != case.expected {
            writeln!(wrong, "{}: [{}] instead of [{}]", case.name, shown(&told), case.expected).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(CASES.len() >= 40);
    assert!(EXCEPTIONS.iter().all(|exception| !exception.reason.is_empty() && CASES.iter().any(|case| case.name == exception.case)));
}

fn state((chart, short): (&str, &str)) -> State {
    let short = WORDS.iter().fold(short.to_owned(), |short, (word, meaning)| short.replace(word, meaning));
    State { chart: chart.to_owned(), values: values(&short) }
}

/// `MV205 E, MV506 W` as a set.
fn words(shown: &str) -> BTreeSet<String> {
    shown.split(", ").filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

/// What a form must say where Flux says this.
fn with_exceptions(mut verdict: BTreeSet<String>, case: &Case, form: Form) -> BTreeSet<String> {
    for exception in EXCEPTIONS.iter().filter(|exception| exception.case == case.name && exception.form == form) {
        assert!(verdict.remove(exception.instead_of), "{}: Flux says {verdict:?}", case.name);
        verdict.insert(exception.says.to_owned());
    }
    verdict
}
