//! The metadata migration of 2.2 without any guard in the cluster: by the hook of an umbrella chart, and by `milvus-guard migrate` from a laptop. Real Helm, a real etcd, upstream's tool as a
//! stand-in.

use std::path::Path;
use std::process::{Output, Stdio};

use milvus_guard_e2e::chart;
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::metadata::entries;
use milvus_guard_e2e::programs::repository;
use milvus_guard_e2e::sandbox::wait;
use milvus_guard_e2e::webhook::{binary, define_kinds, hook};

use crate::doctor::{guard, stdout};
use crate::gates::CLUSTER;
use crate::migration::{AFTER, BEFORE, INTO_2_2, Release, class_for_backups};
use crate::upgrades::run_helm;

const IMAGE: &str = "milvusdb/milvus:v2.2.16";

/// What the later chart renames of stores and an upgrade has to keep.
const STORES: &str = "minio.image.tag=RELEASE.2022-03-17T06-34-49Z";

/// As upstream documents its script.
pub(crate) fn line(release: &Release, more: &[&str]) -> Vec<String> {
    let etcd = format!("127.0.0.1:{}", release.keys.port);
    let documented = [
        "migrate",
        "-i",
        "m",
        "-n",
        &release.sandbox.namespace,
        "-s",
        "2.1.4",
        "-t",
        "2.2.16",
        "-r",
        "by-dev",
        "-w",
        IMAGE,
        "-m",
        "milvusdb/meta-migration:v2.2.0-bugfix-20230112",
        "-c",
        "backups",
        "-e",
        &etcd,
    ];
    documented.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

async fn run(release: &Release, more: &[&str]) -> Output {
    let admin = release.sandbox.plane.admin().await;
    guard(&admin, &line(release, more).iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Begins a migration, and interrupts it once everything has stopped and the fence is up.
async fn interrupted(release: &Release) {
    let admin = release.sandbox.plane.admin().await;
    let mut child = tokio::process::Command::new(binary());
    child.args(line(release, &["--yes"])).env("KUBECONFIG", &admin.kubeconfig).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let id = child.id().unwrap().to_string();
    wait("the fence", async || (release.fences().await.lines().count() == 2).then_some(())).await;
    wait("the end of all pods", async || release.runs().await.is_empty().then_some(())).await;
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let interrupted = child.wait_with_output().await.unwrap();
    assert_eq!(interrupted.status.code(), Some(130), "{interrupted:?}");
    release.is_fenced_in().await;
}

/// Migrated, and nothing of ours is left but the backups, one of each time that it was begun anew.
async fn must_be_migrated(release: &Release, begun: usize) {
    assert_eq!(release.all().await, release.after());
    assert_eq!((release.runs().await, release.fences().await), (vec![IMAGE.to_owned()], String::new()));
    let all = release.sandbox.objects().await;
    let is_left = |(name, object): &(&String, &String)| {
        let kinds = ["Deployment/", "ConfigMap/", "ServiceAccount/", "Role/", "RoleBinding/"];
        kinds.iter().any(|kind| name.starts_with(kind)) && (object.contains("milvus-guard") || object.contains("milvus-migration"))
    };
    assert_eq!(all.iter().filter(is_left).map(|(name, _)| name).collect::<Vec<_>>(), Vec::<&String>::new());
    let backups = all.keys().filter(|name| name.starts_with("PersistentVolumeClaim/m-metadata-backup-")).count();
    assert!((1..=begun).contains(&backups), "the backup stays: {backups}");
}

async fn from_a_laptop(plane: &'static ControlPlane) {
    let release = Release::new(plane, "bare").await;
    let sandbox = &release.sandbox;
    let replicas = release.replicas().await;

    // A dry run tells, and what does not fit is refused; neither changes anything.
    let before = sandbox.objects().await;
    let told = run(&release, &["--dry-run"]).await;
    assert!(told.status.success() && stdout(&told).contains("metadata is backed up, verified and migrated"), "{told:?}");
    let admin = plane.admin().await;
    let elsewhere = ["migrate", "-i", "m", "-n", &sandbox.namespace, "-t", "2.2.16", "-w", IMAGE, "-c", "backups", "-e", "127.0.0.1:1"];
    for (refused, why) in [
        (
            guard(&admin, &["migrate", "-i", "m", "-n", &sandbox.namespace, "-t", "2.2.16", "-w", IMAGE, "-c", "backups", "-r", "other"]).await,
            "Milvus runs with etcd.rootPath `by-dev`",
        ),
        (guard(&admin, &["migrate", "-i", "m", "-n", &sandbox.namespace, "-t", "2.2.16", "-w", IMAGE, "-c", "none"]).await, "there is no StorageClass none"),
        (guard(&admin, &elsewhere).await, "charts/milvus-migration-hook"),
    ] {
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(why), "{refused:?}");
    }
    assert_eq!((sandbox.objects().await, release.all().await), (before, release.before.clone()));

    interrupted(&release).await;
    // Nobody of ours is there, and the fence alone keeps pods away, from whoever puts replicas back: of the version before, and of one that is let go.
    sandbox.kubectl(["scale", "deployment", "m-milvus-proxy", "m-milvus-rootcoord", "--replicas=2"]).ok().await;
    sandbox.kubectl(["rollout", "resume", "deployment/m-milvus-proxy"]).ok().await;
    wait("a refusal by the fence", async || {
        let refused = sandbox.kubectl(["get", "events", "-o", "jsonpath={.items[?(@.reason==\"FailedCreate\")].message}"]).ok().await.stdout;
        (refused.contains("m-milvus-proxy") && refused.contains("m-milvus-rootcoord") && refused.contains("milvus-guard cleanup m")).then_some(())
    })
    .await;
    assert_eq!(release.runs().await, Vec::<String>::new());

    // The same command goes on with it.
    let done = run(&release, &["--yes"]).await;
    assert!(done.status.success(), "{done:?}");
    let text = stdout(&done);
    assert!(text.contains("image.all.tag: v2.2.16") && text.contains("the backup of the metadata stays on PersistentVolumeClaim m-metadata-backup-"), "{text}");
    must_be_migrated(&release, 1).await;
    assert_eq!(release.replicas().await, replicas);
    let leases = sandbox.kubectl(["get", "leases", "-o", "name"]).ok().await.stdout;
    assert!(leases.is_empty(), "{leases}");
    let again = run(&release, &[]).await;
    assert!(again.status.success() && stdout(&again).contains("already"), "{again:?}");

    // Helm goes on from there: first with the values that were told and other replicas, then with another image.
    let values = format!("image.all.tag=v2.2.16,{STORES}");
    for (helm, more, image) in [
        (Program::Helm3, format!("{values},queryNode.replicas=3"), IMAGE),
        (Program::Helm4, format!("{values},queryNode.replicas=1,image.all.repository=mirror.example/milvus"), "mirror.example/milvus:v2.2.16"),
    ] {
        let chart = sandbox.chart(AFTER);
        let upgraded = sandbox.helm(helm, ["upgrade", "m", chart.to_str().unwrap(), "--reset-then-reuse-values", "--set", &more, "--timeout=60s"]).run().await;
        assert!(upgraded.status.success(), "{upgraded}");
        sandbox.wait_until_rolled_out().await;
        assert_eq!(release.runs().await, [image]);
        assert!(more.contains(&format!("queryNode.replicas={}", release.replicas().await["m-milvus-querynode"])), "{more}");
    }
    assert_eq!(release.all().await, release.after());
}

fn umbrella(version: &str, hook: Option<String>) -> std::path::PathBuf {
    let values = format!("milvus-migration-hook: {}\n", hook.unwrap_or_else(|| "{enabled: false, target: 2.2.16}".to_owned()));
    chart::umbrella_with_hook("stack", version, &values)
}

async fn helm(release: &Release, helm: Program, verb: &str, chart: &Path, more: &str) -> (Ended, String) {
    let admin = release.sandbox.plane.admin().await;
    let values = format!("{CLUSTER},queryNode.replicas=2,proxy.replicas=2{more}").split(',').map(|set| format!("milvus.{set}")).collect::<Vec<_>>().join(",");
    let arguments = [verb, "m", chart.to_str().unwrap(), "--set", &values, "--timeout=120s", "-n", &release.sandbox.namespace];
    let helm = tokio::spawn(release.sandbox.command_as(&admin, helm, arguments).run());
    let printed = hook::run(release.sandbox.plane, &release.sandbox.namespace, "milvus-migration-hook", &helm).await;
    (helm.await.unwrap(), printed)
}

/// `fails`: whether it fails first.
async fn by_a_hook(plane: &'static ControlPlane, program: Program, name: &str, fails: bool) {
    let release = Release::with_metadata(plane, name).await;
    let sandbox = &release.sandbox;
    let etcd = format!("127.0.0.1:{}", release.keys.port);
    let hook =
        |tool: &str| Some(format!("{{enabled: true, target: 2.2.16, migration: {{storageClass: backups, etcdEndpoints: ['{etcd}'], image: '{tool}'}}}}"));
    // A first install has nothing to migrate.
    let (installed, printed) = helm(&release, program, "install", &umbrella(BEFORE, hook("")), "").await;
    assert!(installed.status.success() && printed.contains("there is nothing to migrate"), "{installed}\n{printed}");
    sandbox.wait_until_rolled_out().await;
    let more = format!(",image.all.tag=v2.2.16,{STORES}");
    let label = async || sandbox.kubectl(["get", "deployment", "m-milvus-proxy", "-o", "jsonpath={.metadata.labels.helm\\.sh/chart}"]).ok().await.stdout;

    if fails {
        // The tool dies: metadata and 2.1 are back, and Helm has written nothing of the new chart.
        let (failed, printed) = helm(&release, program, "upgrade", &umbrella(AFTER, hook("milvusdb/meta-migration:v2.2.0-dies-half-deleted")), &more).await;
        assert!(!failed.status.success() && failed.stderr.contains("pre-upgrade"), "{failed}\n{printed}");
        assert!(printed.contains("it stopped"), "{printed}");
        sandbox.wait_until_ready().await;
        assert_eq!((release.all().await == release.before, release.runs().await), (true, vec!["milvusdb/milvus:v2.1.4".to_owned()]), "{printed}");
        assert_eq!(label().await, format!("milvus-{BEFORE}"));
    }

    // The next upgrade goes on, and only then Helm writes.
    let (upgraded, printed) = helm(&release, program, "upgrade", &umbrella(AFTER, hook("")), &more).await;
    assert!(upgraded.status.success(), "{upgraded}\n{printed}");
    sandbox.wait_until_rolled_out().await;
    must_be_migrated(&release, if fails { 2 } else { 1 }).await;
    assert_eq!(label().await, format!("milvus-{AFTER}"));
    let starts = sandbox.starts();
    let first = starts.iter().position(|start| start.image() == IMAGE).unwrap();
    assert!(starts[first..].iter().all(|start| !start.image().ends_with("v2.1.4")), "2.1 was started again on metadata of 2.2");
    assert!(entries(&release.before, "by-dev") > 50);
    if fails {
        // It stays in the chart, and has nothing more to do.
        let (again, printed) = helm(&release, program, "upgrade", &umbrella(AFTER, hook("")), &format!("{more},indexNode.replicas=2")).await;
        assert!(again.status.success() && printed.contains("its metadata is of 2.2 or later already"), "{again}\n{printed}");
    }
}

/// Given up from a laptop; then the hook's chart as a release of its own, before Milvus's chart is upgraded as it is.
async fn by_a_release_of_its_own(plane: &'static ControlPlane) {
    let release = Release::new(plane, "alone").await;
    let sandbox = &release.sandbox;
    let replicas = release.replicas().await;

    interrupted(&release).await;
    let back = run(&release, &["--yes", "-o", "rollback"]).await;
    assert!(back.status.success(), "{back:?}");
    sandbox.wait_until_ready().await;
    assert_eq!((release.all().await == release.before, release.runs().await), (true, vec!["milvusdb/milvus:v2.1.4".to_owned()]), "{back:?}");
    assert_eq!((release.replicas().await, release.fences().await), (replicas.clone(), String::new()));

    let admin = plane.admin().await;
    let chart = repository().join("charts/milvus-migration-hook").display().to_string();
    let values = format!("release=m,target=2.2.16,migration.storageClass=backups,migration.etcdEndpoints={{127.0.0.1:{}}}", release.keys.port);
    let arguments = ["install", "milvus-migration", &chart, "-n", &sandbox.namespace, "--set", &values, "--timeout=120s"];
    let helm = tokio::spawn(sandbox.command_as(&admin, Program::Helm4, arguments).run());
    let printed = hook::run(plane, &sandbox.namespace, "milvus-migration-hook", &helm).await;
    let ended = helm.await.unwrap();
    assert!(ended.status.success(), "{ended}\n{printed}");
    must_be_migrated(&release, 2).await;
    let upgraded = run_helm(sandbox, Program::Helm3, "upgrade", AFTER, INTO_2_2).await;
    assert!(upgraded.status.success(), "{upgraded}");
    sandbox.wait_until_rolled_out().await;
    assert_eq!((release.all().await, release.runs().await, release.replicas().await), (release.after(), vec![IMAGE.to_owned()], replicas));
}

/// The variable that has the hook tried with Helm 3 too, with a tool that dies first.
const VARIABLE: &str = "MILVUS_GUARD_E2E_HOOKS";

#[tokio::test]
async fn without_a_guard_metadata_is_migrated_from_a_laptop_and_by_a_hook_of_helm() {
    let Some(plane) = ControlPlane::own("unguarded").await else { return };
    let admin = plane.admin().await;
    class_for_backups(&admin.client).await;
    // As an uninstalled guard, or one of other namespaces, has them there.
    define_kinds(plane, &admin).await;
    // Built before Helm's time runs.
    binary();
    let with_helm_3 = async {
        if std::env::var_os(VARIABLE).is_some() {
            by_a_hook(plane, Program::Helm3, "hooked3", true).await;
        } else {
            milvus_guard_e2e::programs::say(&format!(
                "NOT TRIED: the migration hook with Helm 3 and with a tool that dies; {VARIABLE}=1 tries them (a minute more)\n"
            ));
        }
    };
    tokio::join!(from_a_laptop(plane), by_a_hook(plane, Program::Helm4, "hooked4", false), by_a_release_of_its_own(plane), with_helm_3);
    plane.end();
}
