//! What `--reuse-values` and its kin do to a release of the test chart is what was seen of the real one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use milvus_guard_e2e::chart;
use milvus_guard_e2e::commands::{HELMS, Program};
use milvus_guard_e2e::sandbox::Sandbox;
use serde_json::{Value, json};
use std::io::Read;

#[tokio::test]
async fn reused_values_keep_the_image_while_the_chart_moves_or_break_the_templates() {
    for helm in HELMS {
        let Some(sandbox) = Sandbox::new(&format!("reuse-{}", helm.file())).await else { return };
        install(&sandbox, helm, "4.1.24", "pulsar.enabled=false").await;
        let reused = upgrade(&sandbox, helm, "4.2.20", &["--reuse-values", "--set", "log.level=debug"]);
        reused.ok().await;
        let release = release(&sandbox, 2).await;
        assert_eq!(release["chart"]["metadata"]["version"], "4.2.20");
        assert_eq!(release["chart"]["values"]["image"]["all"]["tag"], "v2.3.11", "defaults of the chart before");
        assert_eq!(release["config"], json!({"log": {"level": "debug"}, "pulsar": {"enabled": false}}));
        assert!(release["manifest"].as_str().unwrap().contains("milvusdb/milvus:v2.3.11"));

        sandbox.wait_until_rolled_out().await;
        let before = sandbox.objects().await;
        let broken = upgrade(&sandbox, helm, "4.2.58", &["--reuse-values"]).fails().await;
        assert!(broken.stderr.contains("nil pointer evaluating interface {}.enabled"), "{broken}");
        assert_eq!(sandbox.objects().await, before);
    }
}

#[tokio::test]
async fn what_is_stored_of_values_depends_on_how_they_are_given() {
    for helm in HELMS {
        let Some(sandbox) = Sandbox::new(&format!("values-{}", helm.file())).await else { return };
        install(&sandbox, helm, "4.2.20", SMALL).await;
        upgrade(&sandbox, helm, "4.2.20", &[]).ok().await;
        assert_eq!(release(&sandbox, 2).await["config"]["cluster"]["enabled"], json!(false), "no flag keeps them");
        upgrade(&sandbox, helm, "4.2.20", &["--reset-then-reuse-values", "--set", "log.level=debug"]).ok().await;
        let third = release(&sandbox, 3).await;
        assert_eq!((&third["config"]["log"]["level"], &third["config"]["cluster"]["enabled"]), (&json!("debug"), &json!(false)));
        upgrade(&sandbox, helm, "4.2.20", &["--set", "log.level=info"]).ok().await;
        assert_eq!(release(&sandbox, 4).await["config"], json!({"log": {"level": "info"}}), "a flag alone loses them");
    }
}

const SMALL: &str = "cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsar.enabled=false";

async fn install(sandbox: &Sandbox, helm: Program, version: &str, set: &str) {
    let chart = chart::stand_in(version);
    sandbox.helm(helm, ["install", "m", chart.to_str().unwrap(), "--set", set]).ok().await;
}

fn upgrade(sandbox: &Sandbox, helm: Program, version: &str, flags: &[&str]) -> milvus_guard_e2e::commands::Invocation {
    let chart = chart::stand_in(version);
    let mut arguments = vec!["upgrade", "m", chart.to_str().unwrap()];
    arguments.extend(flags);
    sandbox.helm(helm, arguments)
}

/// A stored revision: base64 of gzipped JSON, within the Secret's own base64.
async fn release(sandbox: &Sandbox, revision: u32) -> Value {
    let secret: Secret = sandbox.api().get(&format!("sh.helm.release.v1.m.v{revision}")).await.unwrap();
    let zipped = STANDARD.decode(&secret.data.unwrap()["release"].0).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(zipped.as_slice()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}
