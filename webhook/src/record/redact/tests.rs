//! Planted secrets do not come out, and what verdicts need does.

use super::*;

const PLANTED: &str = "hunter2-planted";

fn redactor() -> Redactor {
    Redactor::new([7; 32])
}

fn packed(release: &Value) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&serde_json::to_vec(release).unwrap()).unwrap();
    STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
}

fn unpacked(text: &str) -> Value {
    let inner = STANDARD.decode(STANDARD.decode(text).unwrap()).unwrap();
    serde_json::from_reader(MultiGzDecoder::new(inner.as_slice())).unwrap()
}

#[test]
fn a_stored_release_keeps_what_verdicts_need_and_nothing_planted() {
    let manifest = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{a: {PLANTED}}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: \
         m-milvus-proxy\n  labels: {{helm.sh/chart: milvus-4.2.58}}\n  annotations: {{note: {PLANTED}}}\nspec:\n  template:\n    spec:\n      containers:\n      - name: \
         proxy\n        image: milvusdb/milvus:v2.5.16\n        args: [milvus, --password={PLANTED}]\n        env: [{{name: A, value: {PLANTED}}}]\n"
    );
    let config = json!({"image": {"all": {"tag": "v2.5.16"}}, "messageQueue": "kafka", "minio": {"accessKey": PLANTED, "secretKey": 123_456, "enabled": true},
        "externalS3": {"accessKey": PLANTED, "rootPath": PLANTED}, "extraConfigFiles": {"user.yaml": format!("common:\n  password: {PLANTED}\n")}});
    let release = json!({"name": "m", "version": 2, "info": {"status": "pending-upgrade", "notes": PLANTED}, "hooks": [{"manifest": PLANTED}],
        "chart": {"metadata": {"name": "milvus", "version": "4.2.58"}, "templates": [{"data": PLANTED}], "values": {"own": PLANTED, "messageQueue": "pulsar"}},
        "config": config, "manifest": manifest});
    let review = json!({"request": {"uid": "u", "userInfo": {"username": "a", "extra": {"t": [PLANTED]}},
        "object": {"kind": "Secret", "type": "helm.sh/release.v1", "metadata": {"name": "sh.helm.release.v1.m.v2"}, "data": {"release": packed(&release), "other": PLANTED}}}});
    let clean = redactor().review(review);
    let stored = unpacked(clean.pointer("/request/object/data/release").unwrap().as_str().unwrap());
    for text in [clean.to_string(), stored.to_string()] {
        assert!(!text.contains(PLANTED) && !text.contains("123456"), "{text}");
    }
    assert_eq!(stored.pointer("/config/image/all/tag"), Some(&json!("v2.5.16")));
    assert_eq!(stored.pointer("/config/messageQueue"), Some(&json!("kafka")));
    assert_eq!(stored.pointer("/chart/values/messageQueue"), Some(&json!("pulsar")));
    assert_eq!(stored.pointer("/config/minio/accessKey"), stored.pointer("/config/externalS3/accessKey"), "equal stays equal");
    let manifest = stored["manifest"].as_str().unwrap();
    assert!(manifest.contains("milvusdb/milvus:v2.5.16") && manifest.contains("milvus-4.2.58"), "{manifest}");
}

#[test]
fn objects_of_gitops_tools_keep_structure_and_hide_values() {
    let clean = |object: Value| redactor().review(json!({"request": {"object": object}})).to_string();
    let text = clean(json!({"kind": "HelmRelease", "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": PLANTED}},
        "spec": {"chart": {"spec": {"chart": "milvus", "version": "4.2.58"}}, "upgrade": {"preserveValues": true}, "values": {"x": {"password": PLANTED}, "y": [PLANTED]},
        "valuesFrom": [{"kind": "Secret", "name": "carried", "valuesKey": "values.yaml"}]}}));
    assert!(!text.contains(PLANTED) && text.contains("4.2.58") && text.contains("\"preserveValues\":true") && text.contains("carried"), "{text}");
    let text = clean(
        json!({"kind": "Application", "spec": {"source": {"repoURL": format!("https://u:{PLANTED}@git"), "chart": "milvus", "targetRevision": "4.2.58",
        "helm": {"values": format!("a: {PLANTED}\nimage: {{all: {{tag: v2.5.16}}}}\n"), "parameters": [{"name": "p", "value": PLANTED}], "valuesObject": {"z": PLANTED}}}}}),
    );
    assert!(!text.contains(PLANTED) && text.contains("v2.5.16") && text.contains("targetRevision"), "{text}");
    let text = clean(json!({"kind": "HelmChart", "spec": {"chart": "milvus", "set": {"a.b": PLANTED}, "valuesContent": format!("] {PLANTED}")}}));
    assert!(!text.contains(PLANTED), "{text}");
}

#[test]
fn another_key_gives_other_hashes() {
    let object = json!({"kind": "Secret", "data": {"a": PLANTED}});
    let hash = |key: u8| Redactor::new([key; 32]).review(json!({"request": {"object": object}}));
    assert_ne!(hash(1), hash(2));
    assert_eq!(hash(1), hash(1));
}
