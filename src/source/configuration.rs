//! A rendered configuration of Milvus (`milvus.yaml`, later `default.yaml` with `user.yaml` over it) and the environment of its container: where its data lies.
//!
//! Milvus reads variables over its files: those of 2.0 to 2.2 a few by name (`ETCD_ENDPOINTS`, `MINIO_ADDRESS`, `PULSAR_ADDRESS`, `MINIO_BUCKET_NAME`, ...) and any that begin with `milvus.`, later ones each
//! setting by its path without dots, slashes and underscores, in any case, and also behind `MILVUS_CONF_` (`pkg/config/env_source.go`, `internal/util/paramtable/base_table.go` of milvus-io/milvus). All of
//! these ways are read of all versions: a variable that a version passes over was meant to count.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::yaml::{Limits, Node, parse_stream};

/// Files of a configuration, each read over those before it. Charts below 3.3.2 write the first, later ones the second; the user's own comes last.
pub const FILES: [&str; 3] = ["milvus.yaml", "default.yaml", "user.yaml"];

/// The longest file that is read, in bytes. The chart's has 30 KB.
const MAX_BYTES: usize = 1 << 20;

/// Nodes of one file that are read.
const MAX_NODES: usize = 50_000;

/// Queues that Milvus has a section for; where no type is named, the only one present is in use (charts of Milvus 2.0 and 2.1 name none).
const QUEUES: [&str; 5] = ["pulsar", "kafka", "rocksmq", "natsmq", "woodpecker"];

/// What of it is Milvus's data: paths in the configuration, and what lies there.
const PATHS: &[(&str, Part)] = &[
    ("pulsar.address", Part::Queue),
    ("pulsar.tenant", Part::Queue),
    ("pulsar.namespace", Part::Queue),
    ("kafka.brokerList", Part::Queue),
    ("rocksmq.path", Part::Queue),
    ("msgChannel.chanNamePrefix.cluster", Part::Queue),
    ("etcd.endpoints", Part::Metadata),
    ("etcd.rootPath", Part::Metadata),
    ("etcd.metaSubPath", Part::Metadata),
    ("metastore.type", Part::Metadata),
    ("tikv.endpoints", Part::Metadata),
    ("tikv.rootPath", Part::Metadata),
    ("common.storageType", Part::Storage),
    ("minio.address", Part::Storage),
    ("minio.bucketName", Part::Storage),
    ("minio.rootPath", Part::Storage),
];

/// The path that the kind of queue stands for.
const QUEUE: &str = "mq.type";

/// The variable that names the folder of the files.
const FOLDER: &str = "MILVUSCONF";

/// The folder that the image has them in.
const USUAL_FOLDER: &str = "/milvus/configs";

/// What variables are called that stand for another path: the kind of queue before 2.3, and the former path of the prefix.
const OTHER_VARIABLES: &[(&str, &str)] = &[("messagequeue", QUEUE), ("commonchannameprefixcluster", "msgChannel.chanNamePrefix.cluster")];

/// What Milvus takes where a configuration leaves it out, and the path whose presence tells that the configuration was read: charts from 4.0.0 on no longer write these.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("etcd.rootPath", "by-dev", "etcd.endpoints"),
    ("etcd.metaSubPath", "meta", "etcd.endpoints"),
    ("metastore.type", "etcd", "etcd.endpoints"),
    ("msgChannel.chanNamePrefix.cluster", "by-dev", QUEUE),
];

/// Where data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The message queue.
    Queue,
    /// Metadata: etcd and the path in it.
    Metadata,
    /// Object storage.
    Storage,
    /// The files that tell all of it.
    Files,
}

impl Part {
    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queue => "the message queue",
            Self::Metadata => "the metadata",
            Self::Storage => "the object storage",
            Self::Files => "the folder of the configuration",
        }
    }

    /// What a path of an identity is about.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        if path == QUEUE {
            return Some(Self::Queue);
        }
        if path == FOLDER {
            return Some(Self::Files);
        }
        PATHS.iter().find(|(known, _)| *known == path).map(|(_, part)| *part)
    }
}

/// Where a configuration keeps data: path in the configuration to its value. A path that is not here is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataIdentity(pub BTreeMap<Arc<str>, Arc<str>>);

impl DataIdentity {
    /// Reads the files of a configuration, lowest first. What cannot be read tells nothing.
    #[must_use]
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let rendered = Rendered::read(texts);
        let mut found = BTreeMap::new();
        if let Some(queue) = queue(&rendered.0) {
            found.insert(QUEUE.into(), queue);
        }
        for (path, _) in PATHS {
            if let Some(value) = rendered.get(path) {
                found.insert((*path).into(), plain(path, &value));
            }
        }
        for (path, default, beside) in DEFAULTS {
            if found.contains_key(*beside) && !found.contains_key(*path) {
                found.insert((*path).into(), (*default).into());
            }
        }
        Self(found)
    }

    /// Reads the variables of a container, the last of a name counts; an empty one says nothing. What is read from elsewhere (`valueFrom`) is given as where that is.
    #[must_use]
    pub fn of_environment<'v>(variables: impl IntoIterator<Item = (&'v str, &'v str)>) -> Self {
        let read = |(name, value): (&str, &'v str)| {
            let path = path_of_variable(name)?;
            let is_usual = path == FOLDER && value.trim_end_matches('/') == USUAL_FOLDER;
            let is_said = !value.trim().is_empty() && (path != QUEUE || value != "default");
            (is_said && !is_usual).then(|| (Arc::from(path), plain(path, value.trim())))
        };
        Self(variables.into_iter().filter_map(read).collect())
    }

    /// The same, with what `other` says over it.
    #[must_use]
    pub fn under(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().map(|(path, value)| (Arc::clone(path), Arc::clone(value))));
        self
    }

    /// The kind of queue.
    #[must_use]
    pub fn queue(&self) -> Option<&Arc<str>> {
        self.0.get(QUEUE)
    }

    /// Paths at which two configurations are known to differ, sorted. Of two different queues only the kind is told.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        let differs = |path: &str| self.0.get(path).zip(other.0.get(path)).is_some_and(|(a, b)| a != b);
        let is_moved = differs(QUEUE);
        let is_detail = |path: &str| is_moved && path != QUEUE && Part::of(path) == Some(Part::Queue);
        self.0.keys().filter(|path| differs(path) && !is_detail(path)).cloned().collect()
    }
}

/// A rendered configuration as Milvus reads it: each file over those before it.
#[derive(Debug)]
pub struct Rendered(Vec<Node>);

impl Rendered {
    /// Reads the files of a configuration, lowest first. What cannot be read tells nothing.
    #[must_use]
    pub fn read<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self(texts.into_iter().filter_map(root).collect())
    }

    /// The value at a dotted path, trimmed: a scalar, or the scalars of a list, sorted, with commas between them. Nothing where it is empty.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Arc<str>> {
        self.0.iter().rev().find_map(|root| value(at(root, path)?))
    }
}

fn root(text: &str) -> Option<Node> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let limits = Limits { documents: 1, nodes: MAX_NODES };
    Some(parse_stream(text, &limits).into_iter().next()?.ok()?.root)
}

/// The path that a variable of the environment sets.
fn path_of_variable(name: &str) -> Option<&'static str> {
    let bare = |text: &str| text.chars().filter(|c| !matches!(c, '.' | '_' | '/')).map(|c| c.to_ascii_lowercase()).collect::<String>();
    if name == FOLDER {
        return Some(FOLDER);
    }
    let name = ["milvus.", "MILVUS_CONF_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let name = bare(name);
    let known = PATHS.iter().map(|(path, _)| *path).chain([QUEUE]).find(|path| bare(path) == name);
    known.or_else(|| OTHER_VARIABLES.iter().find(|(other, _)| *other == name).map(|(_, path)| *path))
}

/// One way to write what may be written in several.
fn plain(path: &str, value: &str) -> Arc<str> {
    match path {
        QUEUE => value.to_ascii_lowercase().into(),
        // Everything but `local` is a store behind the network; its name changed from `minio` to `remote`.
        "common.storageType" if value != "local" => "remote".into(),
        // The port may stand beside the host or in a setting of its own.
        _ if path.ends_with(".address") => {
            let host = value.split_once("://").map_or(value, |(_, host)| host);
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(host, _)| host).into()
        }
        _ if path.ends_with(".endpoints") || path == "kafka.brokerList" => {
            let mut all: Vec<&str> = value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
            all.sort_unstable();
            all.join(",").into()
        }
        _ => value.into(),
    }
}

/// The node at a dotted path; of a key that is written twice, the later one counts, as Milvus reads it.
fn at<'n>(root: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(root, |node, key| node.entries().iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value))
}

/// A scalar, or a list of scalars in one text.
fn value(node: &Node) -> Option<Arc<str>> {
    let text = match node.text() {
        Some(text) => text.trim().to_owned(),
        None => {
            let mut items: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
            items.sort_unstable();
            items.join(",")
        }
    };
    (!text.is_empty()).then(|| text.into())
}

/// The kind of queue: what a file names, the last one first; else the only queue that has a section.
fn queue(roots: &[Node]) -> Option<Arc<str>> {
    let named = |root: &Node| {
        let text = at(root, QUEUE).or_else(|| at(root, "messageQueue"))?.text()?.trim();
        (!text.is_empty() && text != "default").then(|| text.to_ascii_lowercase().into())
    };
    roots.iter().rev().find_map(named).or_else(|| {
        let mut present = QUEUES.iter().filter(|queue| roots.iter().any(|root| at(root, queue).is_some()));
        present.next().filter(|_| present.next().is_none()).map(|queue| (*queue).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(before: &[&str], after: &[&str]) -> Vec<String> {
        let read = |texts: &[&str]| DataIdentity::read(texts.iter().copied());
        read(before).differences(&read(after)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn where_data_lies_is_read_with_the_users_file_over_the_charts() {
        let chart = "mq:\n  type: pulsar\npulsar:\n  address: m-pulsar-proxy\netcd:\n  endpoints:\n    - b:2379\n    - a:2379\n  rootPath: m\nminio:\n  bucketName: milvus\n";
        let identity = DataIdentity::read([chart, "mq:\n  type: Kafka\nminio:\n  bucketName: own\n"]);
        assert_eq!(identity.queue().map(|queue| &**queue), Some("kafka"));
        assert_eq!((&*identity.0["etcd.endpoints"], &*identity.0["minio.bucketName"]), ("a:2379,b:2379", "own"));
        assert_eq!(differences(&[chart], &[chart, "log: {level: debug}\n"]), [""; 0]);
        assert_eq!(differences(&[chart], &[chart, "mq: {type: kafka}\nkafka: {brokerList: k}\npulsar: {address: other}\n"]), ["mq.type"]);
        assert_eq!(differences(&[chart], &[chart, "minio: {rootPath: x}\netcd: {rootPath: other}\n"]), ["etcd.rootPath"]);
    }

    #[test]
    fn variables_are_read_as_milvus_reads_them() {
        let environment =
            |variables: &[(&'static str, &'static str)]| DataIdentity::of_environment(variables.iter().copied()).0.into_iter().collect::<Vec<_>>();
        let set = |path: &str, value: &str| vec![(Arc::<str>::from(path), Arc::<str>::from(value))];
        for (name, value, path, read) in [
            ("ETCD_ENDPOINTS", "b:2379, a:2379", "etcd.endpoints", "a:2379,b:2379"),
            ("ETCD_ROOT_PATH", "x", "etcd.rootPath", "x"),
            ("ETCD_ROOTPATH", "x", "etcd.rootPath", "x"),
            ("milvus.etcd.rootPath", "x", "etcd.rootPath", "x"),
            ("MILVUS_CONF_MQ_TYPE", "Kafka", "mq.type", "kafka"),
            ("MESSAGEQUEUE", "kafka", "mq.type", "kafka"),
            ("MINIO_ADDRESS", "minio:9000", "minio.address", "minio"),
            ("PULSAR_ADDRESS", "pulsar://p:6650", "pulsar.address", "p"),
            ("KAFKA_BROKER_LIST", "k:9092", "kafka.brokerList", "k:9092"),
            ("MINIO_BUCKET_NAME", "own", "minio.bucketName", "own"),
            ("COMMON_STORAGETYPE", "local", "common.storageType", "local"),
            ("METASTORE_TYPE", "mysql", "metastore.type", "mysql"),
            ("MILVUSCONF", "/own/", "MILVUSCONF", "/own/"),
        ] {
            assert_eq!(environment(&[(name, value)]), set(path, read), "{name}");
        }
        assert_eq!(environment(&[("MILVUSCONF", "/milvus/configs/"), ("MQ_TYPE", ""), ("MINIO_ACCESS_KEY_ID", "x"), ("PATH", "x"), ("CACHE_SIZE", "4")]), []);
        assert_eq!(environment(&[("MQ_TYPE", "pulsar"), ("MQ_TYPE", "kafka")]), set("mq.type", "kafka"));
    }

    #[test]
    fn a_port_beside_the_host_and_a_list_in_one_text_are_no_other_place() {
        let (chart, environment) = (
            "minio: {address: m, port: 9000}\netcd: {endpoints: [a, b]}\n",
            DataIdentity::of_environment([("MINIO_ADDRESS", "m:9000"), ("ETCD_ENDPOINTS", "b,a")]),
        );
        assert!(DataIdentity::read([chart]).differences(&DataIdentity::read([chart]).under(&environment)).is_empty());
        assert_eq!(differences(&["etcd: {endpoints: [a]}\n"], &["etcd: {endpoints: [a]}\nmetastore: {type: mysql}\n"]), ["metastore.type"]);
    }

    #[test]
    fn what_a_chart_no_longer_writes_is_milvus_own_default() {
        let before =
            |root: &str| format!("mq: {{type: pulsar}}\netcd: {{endpoints: [e], rootPath: {root}}}\nmsgChannel: {{chanNamePrefix: {{cluster: by-dev}}}}\n");
        let after = "mq: {type: pulsar}\netcd: {endpoints: [e]}\n";
        assert_eq!(differences(&[&before("by-dev")], &[after]), [""; 0]);
        assert_eq!(differences(&[&before("prod")], &[after]), ["etcd.rootPath"]);
        // Of a file that cannot be read nothing is known.
        assert_eq!(differences(&[&before("prod")], &["{{ broken"]), [""; 0]);
    }

    #[test]
    fn a_queue_that_no_file_names_is_the_only_one_with_a_section() {
        let pulsar = "pulsar:\n  address: m-pulsar\n";
        assert_eq!(differences(&[pulsar], &["kafka:\n  brokerList: k:9092\n"]), ["mq.type"]);
        assert_eq!(DataIdentity::read([pulsar, "rocksmq:\n  path: /x\n"]).queue(), None);
        // A chart that began to name it changes nothing.
        assert_eq!(differences(&[pulsar], &["mq: {type: pulsar}\npulsar: {address: m-pulsar}\n"]), [""; 0]);
        assert_eq!(differences(&["messageQueue: rocksmq\n"], &["mq: {type: woodpecker}\n"]), ["mq.type"]);
        assert_eq!(differences(&["common: {storageType: minio}\n"], &["common: {storageType: remote}\n"]), [""; 0]);
        assert_eq!(differences(&["common: {storageType: remote}\n"], &["common: {storageType: local}\n"]), ["common.storageType"]);
    }

    #[test]
    fn what_is_written_twice_or_cannot_be_read_is_no_difference_by_itself() {
        assert_eq!(DataIdentity::read(["messageQueue: pulsar\nmessageQueue: rocksmq\n"]).queue().map(|queue| &**queue), Some("rocksmq"));
        assert_eq!(differences(&["mq: {type: pulsar}\n"], &["{{ broken"]), [""; 0]);
        assert_eq!(DataIdentity::read([":\n- [", ""]), DataIdentity::default());
    }
}
