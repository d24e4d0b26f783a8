//! The Jobs of a migration, and the claim for its backups. Pure.

use milvus_guard::rollout::observed::JobKind;
use serde_json::{Map, Value, json};

use super::settings::Settings;
use super::{ATTEMPT_LABEL, Attempt, ID_LABEL, KIND_LABEL, NAME, Owner, RELEASE_LABEL};

/// Where the claim is mounted.
const BACKUP: &str = "/backup";

/// Where the Secret is mounted.
const CREDENTIALS: &str = "/etc/milvus-guard/etcd";

/// Where the tool's configuration lies, in memory.
const RUN: &str = "/run/milvus-guard";

/// What Kubernetes shows of a container that has ended.
const REPORT: &str = "/dev/termination-log";

/// The user of our image.
const USER: u32 = 65_532;

/// A Job ends by itself so many seconds before it counts as overdue.
const SLACK_SECONDS: u64 = 30;

/// The annotation of a Job that only takes the name, so that nobody can run it any more.
pub const BARRED_ANNOTATION: &str = "guard.milvus-guard.dev/barred";

/// The container of upstream's tool.
pub const TOOL: &str = "meta-migration";

/// The claim that backups are kept on. It belongs to nobody, so that it outlives the upgrade, the release and the guard.
#[must_use]
pub fn claim(attempt: &Attempt, settings: &Settings) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": settings.backup_size}}});
    if let (Some(class), Some(spec)) = (&settings.storage_class, spec.as_object_mut()) {
        spec.insert("storageClassName".into(), json!(class));
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": attempt.claim(), "namespace": attempt.namespace, "labels": {
            "app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "milvus-guard", RELEASE_LABEL: attempt.release, ID_LABEL: attempt.id,
        }},
        "spec": spec,
    })
}

/// A Job. `file`: the backup that it is about; `image`: our own.
#[must_use]
pub fn job(attempt: &Attempt, settings: &Settings, kind: JobKind, file: &str, image: &str) -> Value {
    let volume = json!({"name": "backup", "persistentVolumeClaim": {"claimName": attempt.claim()}});
    let mut volumes = vec![volume];
    if let Some(secret) = &settings.credentials {
        volumes.push(json!({"name": "credentials", "secret": {"secretName": secret, "defaultMode": 0o440}}));
    }
    let mut pod = settings.pod.as_object().cloned().unwrap_or_default();
    let ours = |arguments: Vec<String>, mounts: &[&str]| container(settings, image, arguments, mounts);
    let file = format!("--file={BACKUP}/{file}");
    match kind {
        JobKind::Backup => put(&mut pod, "containers", json!([ours(vec!["backup".into(), file, "--only=2.1".into()], &["backup"])])),
        JobKind::Verify => put(&mut pod, "containers", json!([ours(vec!["verify".into(), file], &["backup"])])),
        JobKind::Restore => put(&mut pod, "containers", json!([ours(vec!["restore".into(), file], &["backup"])])),
        JobKind::Migrate => {
            volumes.push(json!({"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}));
            let versions = [format!("--source={}", attempt.from), format!("--target={}", attempt.to)];
            let arguments = ["prepare".into(), file, format!("--tool-configuration={RUN}/run.yaml")].into_iter().chain(versions).collect();
            put(&mut pod, "initContainers", json!([ours(arguments, &["backup", "run"])]));
            put(&mut pod, "containers", json!([tool(settings)]));
        }
    }
    put(&mut pod, "volumes", json!(volumes));
    put(&mut pod, "restartPolicy", json!("Never"));
    put(&mut pod, "automountServiceAccountToken", json!(false));
    put(&mut pod, "enableServiceLinks", json!(false));
    let security = || json!({"fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}});
    put(&mut pod, "securityContext", settings.security_context.clone().unwrap_or_else(security));
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(attempt, kind),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": attempt.job_seconds.saturating_sub(SLACK_SECONDS).max(1),
            "completions": 1,
            "parallelism": 1,
            // A pod that is being deleted may still write.
            "podReplacementPolicy": "Failed",
            "template": {"metadata": {"labels": labels(attempt, kind)}, "spec": pod},
        },
    })
}

/// A Job that takes the name and never runs.
#[must_use]
pub fn barred(attempt: &Attempt, kind: JobKind, image: &str) -> Value {
    let mut metadata = metadata(attempt, kind);
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("annotations".into(), json!({BARRED_ANNOTATION: "this attempt goes back"}));
    }
    let container = json!({"name": "barred", "image": image, "args": ["--version"]});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "template": {"metadata": {"labels": labels(attempt, kind)}, "spec": {"restartPolicy": "Never", "automountServiceAccountToken": false, "containers": [container]}},
        },
    })
}

fn put(table: &mut Map<String, Value>, key: &str, value: Value) {
    table.insert(key.to_owned(), value);
}

fn metadata(attempt: &Attempt, kind: JobKind) -> Value {
    json!({
        "name": attempt.job(kind),
        "namespace": attempt.namespace,
        "labels": labels(attempt, kind),
        "ownerReferences": attempt.owners.iter().map(owner).collect::<Vec<_>>(),
    })
}

fn owner(owner: &Owner) -> Value {
    let Owner { api_version, kind, name, uid } = owner;
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid})
}

fn labels(attempt: &Attempt, kind: JobKind) -> Value {
    json!({
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/managed-by": "milvus-guard",
        RELEASE_LABEL: attempt.release,
        ID_LABEL: attempt.id,
        ATTEMPT_LABEL: attempt.number.to_string(),
        KIND_LABEL: kind.name(),
    })
}

/// A container that runs one of our commands. Credentials are files, never arguments.
fn container(settings: &Settings, image: &str, arguments: Vec<String>, mounts: &[&str]) -> Value {
    let (location, place) = (&settings.place.location, &settings.place);
    let mut all = vec!["metadata".to_owned()];
    all.extend(arguments);
    all.extend(place.endpoints.iter().map(|endpoint| format!("--endpoint={endpoint}")));
    all.push(format!("--root-path={}", location.root));
    all.push(format!("--meta-path={}", location.meta));
    all.push(format!("--kv-path={}", location.kv));
    all.extend(place.has_tls.then(|| "--tls".to_owned()));
    all.extend(settings.credentials.as_ref().map(|_| format!("--credentials={CREDENTIALS}")));
    all.push(format!("--report={REPORT}"));
    json!({
        "name": "milvus-guard",
        "image": image,
        "args": all,
        "resources": settings.resources,
        "volumeMounts": volume_mounts(settings, mounts),
        "terminationMessagePath": REPORT,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsNonRoot": true, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn tool(settings: &Settings) -> Value {
    json!({
        "name": TOOL,
        "image": settings.tool_image,
        "command": ["/bin/sh"],
        "args": ["-c", format!("exec /milvus/bin/meta-migration -config={RUN}/run.yaml")],
        "resources": settings.resources,
        "volumeMounts": volume_mounts(settings, &["run"]),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": false},
    })
}

fn volume_mounts(settings: &Settings, wanted: &[&str]) -> Value {
    let all = [("backup", BACKUP), ("run", RUN), ("credentials", CREDENTIALS)];
    let is_wanted = |name: &str| wanted.contains(&name) || (name == "credentials" && settings.credentials.is_some());
    all.iter().filter(|(name, _)| is_wanted(name)).map(|(name, path)| json!({"name": name, "mountPath": path, "readOnly": *name == "credentials"})).collect()
}

#[cfg(test)]
mod tests {
    use super::super::KINDS;
    use super::super::fixture::attempt;
    use super::super::settings::settings;
    use super::*;

    fn set(migration: Value, user: &str) -> Settings {
        settings(&json!({"metadataMigration": migration}), ["etcd: {endpoints: ['m-etcd:2379'], rootPath: m}\n", user], None).unwrap()
    }

    fn texts(value: &Value, pointer: &str) -> Vec<String> {
        value.pointer(pointer).unwrap().as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_job_runs_once_in_time_and_has_no_rights() {
        let set =
            set(json!({"jobs": {"nodeSelector": {"disk": "ssd"}, "imagePullSecrets": [{"name": "pull"}], "resources": {"limits": {"memory": "2Gi"}}}}), "");
        for kind in KINDS {
            let job = job(&attempt(0), &set, kind, &attempt(0).file(), "guard:1");
            let spec = &job["spec"];
            assert_eq!((&spec["backoffLimit"], &spec["activeDeadlineSeconds"], &spec["podReplacementPolicy"]), (&json!(0), &json!(3_570), &json!("Failed")));
            let pod = &spec["template"]["spec"];
            assert_eq!((&pod["restartPolicy"], &pod["automountServiceAccountToken"]), (&json!("Never"), &json!(false)));
            assert_eq!((&pod["nodeSelector"]["disk"], &pod["imagePullSecrets"][0]["name"]), (&json!("ssd"), &json!("pull")));
            assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "2Gi");
            assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], "3b9d");
            assert!(spec["template"]["metadata"]["labels"].get("app.kubernetes.io/instance").is_none(), "the fence must let it pass");
        }
    }

    #[test]
    fn the_tool_runs_only_after_our_own_check_and_on_its_configuration() {
        let job = job(&attempt(2), &set(json!({}), ""), JobKind::Migrate, &attempt(2).file(), "guard:1");
        let pod = &job["spec"]["template"]["spec"];
        let prepare = texts(pod, "/initContainers/0/args");
        for expected in ["prepare", "--file=/backup/attempt-2.bak", "--source=2.1.4", "--target=2.2.16", "--root-path=m", "--endpoint=m-etcd:2379"] {
            assert!(prepare.iter().any(|argument| argument == expected), "{expected}: {prepare:?}");
        }
        assert_eq!((&pod["containers"][0]["image"], &pod["containers"][0]["name"]), (&json!(super::super::settings::TOOL_IMAGE), &json!(TOOL)));
        assert!(texts(pod, "/containers/0/args")[1].ends_with("-config=/run/milvus-guard/run.yaml"));
        let volumes = pod["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|volume| volume["name"] == "run" && volume["emptyDir"]["medium"] == "Memory"));
    }

    #[test]
    fn credentials_are_mounted_and_never_told() {
        let user = "etcd: {ssl: {enabled: true}, auth: {enabled: true, userName: root, password: hunter2}}\n";
        let set = set(json!({"etcdCredentials": {"secretName": "etcd-client"}}), user);
        for kind in KINDS {
            let job = job(&attempt(0), &set, kind, &attempt(0).file(), "guard:1").to_string();
            assert!(job.contains("etcd-client") && job.contains("--tls") && !job.contains("hunter2"), "{job}");
        }
        let tool = &job(&attempt(0), &set, JobKind::Migrate, "x", "guard:1")["spec"]["template"]["spec"]["containers"][0];
        assert!(tool["volumeMounts"].as_array().unwrap().iter().any(|mount| mount["mountPath"] == CREDENTIALS && mount["readOnly"] == true));
    }

    #[test]
    fn a_barred_job_has_the_name_and_never_runs() {
        let attempt = attempt(0);
        let (real, barred) = (job(&attempt, &set(json!({}), ""), JobKind::Migrate, "x", "g"), barred(&attempt, JobKind::Migrate, "g"));
        assert_eq!((&real["metadata"]["name"], &barred["spec"]["suspend"]), (&barred["metadata"]["name"], &json!(true)));
        assert!(!barred.to_string().contains("meta-migration"));
    }

    #[test]
    fn the_claim_is_of_nobody() {
        let attempt = attempt(0);
        let claim = claim(&attempt, &set(json!({"storageClass": "fast"}), ""));
        assert_eq!((&claim["spec"]["storageClassName"], &claim["metadata"]["ownerReferences"]), (&json!("fast"), &Value::Null));
        assert!(super::claim(&attempt, &set(json!({}), ""))["spec"].get("storageClassName").is_none());
    }
}
