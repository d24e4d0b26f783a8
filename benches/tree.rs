//! Makes a large tree as teams have them: mostly files that have nothing to do with Milvus, some hundred that do. The same seed gives the same tree.

#![allow(clippy::disallowed_methods, clippy::indexing_slicing, reason = "makes files, from tables of known length")]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// What the tree holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Files in all.
    pub(crate) files: usize,
    /// Bytes in all, about.
    pub(crate) bytes: usize,
    /// Files that declare a Milvus release.
    pub(crate) milvus_files: usize,
}

/// A small linear congruential generator: the tree needs variety, not randomness.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % below.max(1)
    }
}

/// Writes the tree below `root`, unless one of the same shape is there already.
pub(crate) fn make(root: &Path, shape: Shape) -> io::Result<()> {
    let stamp = root.join(".shape");
    let wanted = format!("{shape:?}");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    let mut dice = Dice(42);
    let every = shape.files / shape.milvus_files.max(1);
    let average = shape.bytes / shape.files.max(1);
    for i in 0..shape.files {
        let folder = root.join(format!("team-{:02}/service-{:03}", i % 40, i % 400));
        fs::create_dir_all(&folder)?;
        if i % every == 0 && i / every < shape.milvus_files {
            fs::write(folder.join(format!("milvus-{i}.yaml")), milvus_document(i, &mut dice))?;
        } else {
            let (name, text) = other_file(i, average, &mut dice);
            fs::write(folder.join(name), text)?;
        }
    }
    fs::write(stamp, wanted)
}

/// A Flux release of Milvus with a few values, as people write it.
pub(crate) fn milvus_document_text(i: usize) -> String {
    milvus_document(i, &mut Dice(i as u64))
}

fn milvus_document(i: usize, dice: &mut Dice) -> String {
    let chart = ["4.1.24", "4.2.20", "4.2.58", "5.0.19"][dice.next(4)];
    let replicas = 1 + dice.next(4);
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: milvus-{i}\n  namespace: vectors-{}\nspec:\n  interval: 10m\n  chart:\n    spec:\n      chart: milvus\n      version: {chart}\n      sourceRef:\n        kind: HelmRepository\n        name: zilliztech\n  values:\n    cluster:\n      enabled: true\n    image:\n      all:\n        pullPolicy: IfNotPresent\n    pulsar:\n      enabled: true\n    pulsarv3:\n      enabled: false\n    queryNode:\n      replicas: {replicas}\n      resources:\n        limits:\n          memory: 16Gi\n    etcd:\n      replicaCount: 3\n    minio:\n      mode: distributed\n",
        i % 7
    )
}

fn other_file(i: usize, average: usize, dice: &mut Dice) -> (String, String) {
    let size = average / 2 + dice.next(average);
    let mut text = String::with_capacity(size + 128);
    let (name, line): (String, fn(&mut String, usize)) = match i % 4 {
        0 => (format!("deployment-{i}.yaml"), |text, n| {
            let _ = writeln!(text, "  - name: setting-{n}\n    value: \"{}\"", n * 7919 % 10_007);
        }),
        1 => (format!("module_{i}.py"), |text, n| {
            let _ = writeln!(text, "def handler_{n}(request, context):\n    return compute(request.payload, {n})\n");
        }),
        2 => (format!("run-{i}.sh"), |text, n| {
            let _ = writeln!(text, "kubectl --namespace team-{n} get pods --selector app=service-{n} || exit {}", n % 3);
        }),
        _ => (format!("notes-{i}.md"), |text, n| {
            let _ = writeln!(text, "Paragraph {n}: the service was moved to another node pool and its limits were raised.");
        }),
    };
    let mut n = 0;
    while text.len() < size {
        line(&mut text, n);
        n += 1;
    }
    (name, text)
}
