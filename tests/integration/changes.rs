//! Changes of a Milvus release with the rules that they break, for every test that judges one change in several ways; the tests on a real control plane take this file too.

/// A change: chart and values (in short) before and after, and what must be found: all errors and warnings, and those infos that are named.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) before: (&'static str, &'static str),
    pub(crate) after: (&'static str, &'static str),
    pub(crate) expected: &'static str,
}

pub(crate) const fn case(name: &'static str, before: (&'static str, &'static str), after: (&'static str, &'static str), expected: &'static str) -> Case {
    Case { name, before, after, expected }
}

/// A release at one time: the chart version, and user values as a block of YAML (`{}` for none).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) chart: String,
    pub(crate) values: String,
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

/// The changes.
pub(crate) const CASES: &[Case] = &[
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

/// What stands in the table, with its words replaced.
pub(crate) fn state((chart, short): (&str, &str)) -> State {
    let short = WORDS.iter().fold(short.to_owned(), |short, (word, meaning)| short.replace(word, meaning));
    State { chart: chart.to_owned(), values: values(&short) }
}

/// Values in short: `pulsar.enabled: false; image.all.tag: v2.5.16`. What follows `config` goes to `extraConfigFiles."user.yaml"`.
pub(crate) fn values(short: &str) -> String {
    let mut values = Table::default();
    let mut config = Table::default();
    for setting in short.split(';').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (path, value) = setting.split_once(": ").expect(setting);
        match path.strip_prefix("config ") {
            Some(path) => config.set(path, value),
            None => values.set(path, value),
        }
    }
    let mut text = values.block(0);
    if !config.0.is_empty() {
        text.push_str("extraConfigFiles:\n  user.yaml: |+\n");
        text.push_str(&config.block(4));
    }
    if text.is_empty() { "{}\n".to_owned() } else { text }
}

/// A table in the order in which it was written, with the scalar or the table of each key.
#[derive(Default)]
struct Table(Vec<(String, Result<String, Self>)>);

impl Table {
    fn set(&mut self, path: &str, value: &str) {
        let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
        match (rest, self.0.iter_mut().find(|(name, _)| name == key)) {
            (Some(rest), Some((_, Err(table)))) => table.set(rest, value),
            (Some(rest), None) => {
                let mut table = Self::default();
                table.set(rest, value);
                self.0.push((key.to_owned(), Err(table)));
            }
            (None, None) => self.0.push((key.to_owned(), Ok(value.to_owned()))),
            (_, Some(_)) => panic!("`{path}` is set twice"),
        }
    }

    fn block(&self, depth: usize) -> String {
        let line = |(key, value): &(String, Result<String, Self>)| match value {
            Ok(scalar) => format!("{:depth$}{key}: {scalar}\n", ""),
            Err(table) => format!("{:depth$}{key}:\n{}", "", table.block(depth + 2)),
        };
        self.0.iter().map(line).collect()
    }
}
