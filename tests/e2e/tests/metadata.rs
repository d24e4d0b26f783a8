//! Metadata in a real etcd: its layout, a backup and its verification, and putting it back, with faults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use milvus_guard_e2e::control_plane::{ControlPlane, free_port};
use milvus_guard_e2e::etcd::{self, Keys};
use milvus_guard_e2e::metadata::{entries, of_2_1};
use milvus_guard_e2e::sandbox::wait;
use milvus_guard_e2e::webhook::binary;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Metadata below a root path of one's own.
struct Place {
    keys: Keys,
    root: String,
    folder: TempDir,
}

/// How a command ended: exit code, standard output, standard error.
#[derive(Debug)]
struct Said {
    code: i32,
    json: Value,
    error: String,
}

impl Place {
    async fn new(root: &str) -> Option<Self> {
        let plane = ControlPlane::shared(root).await?;
        Some(Self { keys: Keys { port: plane.etcd_port() }, root: root.to_owned(), folder: tempfile::tempdir().unwrap() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("metadata").args(arguments).arg(format!("--endpoint=127.0.0.1:{}", self.keys.port)).arg(format!("--root-path={}", self.root));
        command.kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments)).await
    }

    async fn ok(&self, arguments: &[&str]) -> Value {
        let said = self.run(arguments).await;
        assert_eq!(said.code, 0, "{said:?}");
        said.json
    }

    async fn refused(&self, arguments: &[&str], because: &str) {
        let said = self.run(arguments).await;
        assert!(said.code != 0 && said.error.contains(because), "{because}: {said:?}");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("attempt-1.bak")
    }

    fn file_argument(&self) -> String {
        format!("--file={}", self.file().display())
    }

    async fn prefix(&self) -> milvus_guard_e2e::etcd::All {
        self.keys.all(&format!("{}/", self.root)).await
    }
}

async fn said(mut command: Command) -> Said {
    let output = command.output().await.unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Said { code: output.status.code().unwrap_or(-1), json, error: String::from_utf8_lossy(&output.stderr).into_owned() }
}

#[tokio::test]
async fn what_was_backed_up_comes_back_byte_for_byte() {
    let Some(place) = Place::new("meta-round").await else { return };
    let mut before = of_2_1(&place.root, 12, 30);
    // A value as long as etcd takes, and more keys than one page has.
    before.insert(format!("{}/meta/root-coord/collection/large", place.root), vec![7; 1 << 20]);
    place.keys.put_all(&before).await;
    let session = place.keys.put_leased(&format!("{}/meta/session/querynode-7", place.root), br#"{"Address":"10.0.0.9:21123"}"#, 300).await;

    let layout = place.ok(&["layout"]).await;
    assert_eq!((&layout["layout"], &layout["sessions"]), (&json!("2.1"), &json!(["querynode of 10.0.0.9:21123 (key meta-round/meta/session/querynode-7)"])));
    assert_eq!(layout["keys"]["root-coord/segment-index/"], 360);

    let (backup, file) = (place.file(), place.file_argument());
    let report = place.folder.path().join("report");
    let report_argument = format!("--report={}", report.display());
    let made = place.ok(&["backup", &file, "--only=2.1", &report_argument]).await;
    assert_eq!((made["entries"].as_u64().unwrap() as usize, &made["layout"]), (entries(&before, &place.root), &json!("2.1")));
    assert_eq!(serde_json::from_slice::<Value>(&std::fs::read(&report).unwrap()).unwrap()["digest"], made["digest"]);
    assert_eq!(place.ok(&["verify", &file]).await["digest"], made["digest"]);
    place.refused(&["backup", &file], "is there already").await;

    // Destroyed as by a tool that died: keys gone, changed, and new ones.
    for gone in ["root-coord/collection", "root-coord/index", "indexes"] {
        place.keys.delete_all(&format!("{}/meta/{gone}", place.root)).await;
    }
    place.keys.put(&format!("{}/meta/root-coord/dd-msg-send", place.root), b"false").await;
    place.keys.put(&format!("{}/meta/field-index/1/2", place.root), b"of 2.2").await;
    place.keys.put(&format!("{}/meta/zzz", place.root), b"last").await;
    assert_eq!(place.ok(&["layout"]).await["layout"], "mixed");
    place.refused(&["verify", &file], "metadata changed since revision").await;

    // Nothing is touched while Milvus runs, with half a backup, or with one of elsewhere.
    let broken = place.prefix().await;
    place.refused(&["restore", &file], "querynode of 10.0.0.9:21123 (key meta-round/meta/session/querynode-7) has a session").await;
    place.keys.end_lease(&session).await;
    let broken: milvus_guard_e2e::etcd::All = broken.into_iter().filter(|(key, _)| !key.ends_with("querynode-7")).collect();
    let whole = std::fs::read(&backup).unwrap();
    for length in [0, 7, 50, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&backup, &whole[..length]).unwrap();
        place.refused(&["restore", &file], "").await;
        place.refused(&["verify", &file], "").await;
    }
    std::fs::write(&backup, &whole).unwrap();
    place.refused(&["restore", &file, "--meta-path=meta2"], "the backup is of").await;
    let manifest = backup.with_extension("bak.json");
    let written = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    place.refused(&["restore", &file], "there is no whole backup").await;
    std::fs::write(&manifest, &written).unwrap();
    assert_eq!(place.prefix().await, broken, "something was touched");

    let done = place.ok(&["restore", &file]).await;
    assert_eq!((&done["layout"], &done["digest"], &done["deleted"]), (&json!("2.1"), &made["digest"], &json!(2)));
    assert_eq!(place.prefix().await, before);
    // Once more: nothing is left to do.
    let again = place.ok(&["restore", &file]).await;
    assert_eq!((&again["written"], &again["deleted"]), (&json!(0), &json!(0)));
    place.ok(&["verify", &file]).await;
}

#[tokio::test]
async fn a_restore_that_is_killed_anywhere_goes_on() {
    let Some(place) = Place::new("meta-killed").await else { return };
    let before = of_2_1(&place.root, 20, 40);
    place.keys.put_all(&before).await;
    let file = place.file_argument();
    place.ok(&["backup", &file]).await;
    let mut interrupted = 0;
    for milliseconds in [2, 5, 10, 15, 20, 30, 45, 60, 90] {
        place.keys.delete_all(&format!("{}/meta/", place.root)).await;
        let mut child = place.command(&["restore", &file]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        child.start_kill().unwrap();
        interrupted += i32::from(!child.wait().await.unwrap().success());
        // The next one takes over at once, although the lock of the first has not ended.
        place.ok(&["restore", &file]).await;
        assert_eq!(place.prefix().await, before, "killed after {milliseconds} ms");
    }
    assert!(interrupted >= 3, "too few were killed in the middle");
}

#[tokio::test]
async fn a_restore_waits_for_a_migration_that_was_killed() {
    let Some(place) = Place::new("meta-busy").await else { return };
    place.keys.put_all(&of_2_1(&place.root, 1, 1)).await;
    let file = place.file_argument();
    place.ok(&["backup", &file]).await;
    place.keys.put(&format!("{}/meta/zzz", place.root), b"new").await;
    let lease = place.keys.put_leased(&format!("{}/meta/session/migration", place.root), br#"{"ServerName":"migration"}"#, 60).await;
    let restoring = tokio::spawn(said(place.command(&["restore", &file])));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!restoring.is_finished());
    assert!(place.prefix().await.contains_key(&format!("{}/meta/zzz", place.root)));
    place.keys.end_lease(&lease).await;
    let said = restoring.await.unwrap();
    assert!(said.code == 0 && said.error.contains("a migration runs"), "{said:?}");
    assert!(!place.prefix().await.contains_key(&format!("{}/meta/zzz", place.root)));
}

#[tokio::test]
async fn what_a_migration_rests_on_is_checked_right_before_it() {
    let Some(place) = Place::new("meta-prepare").await else { return };
    let before = of_2_1(&place.root, 2, 2);
    place.keys.put_all(&before).await;
    let file = place.file_argument();
    place.ok(&["backup", &file, "--only=2.1"]).await;
    let tool = place.folder.path().join("run.yaml");
    let tool_argument = format!("--tool-configuration={}", tool.display());
    let prepare = |source: &'static str, target: &'static str| {
        ["prepare".to_owned(), file.clone(), tool_argument.clone(), format!("--source={source}"), format!("--target={target}")]
    };
    let borrowed = |arguments: &[String; 5]| arguments.clone();
    let refuse = async |arguments: [String; 5], because: &str| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        place.refused(&arguments, because).await;
        assert!(!tool.exists(), "{because}");
    };
    refuse(prepare("2.1.4", "2.2.0-rc1"), "pre-release").await;
    refuse(prepare("2.0.2", "2.2.16"), "leads from 2.1 to 2.2").await;
    refuse(prepare("2.1.4", "2.3.0"), "leads from 2.1 to 2.2").await;
    let good = prepare("2.1.4", "2.2.16");
    let lease = place.keys.put_leased(&format!("{}/meta/session/proxy-1", place.root), b"{}", 60).await;
    refuse(borrowed(&good), "proxy (key meta-prepare/meta/session/proxy-1) has a session").await;
    place.keys.end_lease(&lease).await;
    place.keys.put(&format!("{}/meta/segment-index/1/2/3/4", place.root), b"x").await;
    refuse(borrowed(&good), "of layout mixed").await;
    place.keys.delete_all(&format!("{}/meta/segment-index/", place.root)).await;
    place.keys.put(&format!("{}/meta/root-coord/dd-msg-send", place.root), b"false").await;
    refuse(borrowed(&good), "metadata changed since revision").await;
    place.keys.put(&format!("{}/meta/root-coord/dd-msg-send", place.root), b"true").await;
    let arguments: Vec<&str> = good.iter().map(String::as_str).collect();
    place.ok(&arguments).await;
    let written: Value = serde_yaml::from_str(&std::fs::read_to_string(&tool).unwrap()).unwrap();
    assert_eq!((&written["config"]["targetVersion"], &written["etcd"]["rootPath"]), (&json!("2.2.16"), &json!(place.root)));
    place.keys.delete_all(&format!("{}/", place.root)).await;
    assert_eq!(place.ok(&["layout"]).await["layout"], "empty");
}

#[tokio::test]
async fn etcd_with_tls_and_users_is_read_and_no_password_is_told() {
    let Some(plane) = ControlPlane::shared("meta-tls").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (secured, keys) = (free_port(), Keys { port: free_port() });
    let (certificate, key) = plane.authority().server(&["localhost"]).write(folder.path(), "etcd-server");
    let clients = [etcd::plain(keys.port), format!("https://127.0.0.1:{secured}")];
    let certificates = [format!("--cert-file={}", certificate.display()), format!("--key-file={}", key.display())];
    let etcd = etcd::start(plane.programs(), &folder.path().join("etcd"), &folder.path().join("etcd.log"), &clients, &certificates);
    wait("an etcd with TLS", async || keys.try_ask("/v3/kv/range", &json!({"key": "YQ=="})).await.ok()).await;
    keys.put_all(&of_2_1("by-dev", 1, 2)).await;
    keys.ask("/v3/auth/user/add", json!({"name": "root", "password": "planted-etcd-password"})).await;
    keys.ask("/v3/auth/role/add", json!({"name": "root"})).await;
    keys.ask("/v3/auth/user/grant", json!({"user": "root", "role": "root"})).await;
    keys.ask("/v3/auth/enable", json!({})).await;
    let credentials = folder.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::copy(plane.authority_file(), credentials.join("ca.crt")).unwrap();
    let run = async |credentials: Option<&Path>, more: &[&str]| {
        let mut command = Command::new(binary());
        // The first endpoint is gone: the next one is asked.
        command.args(["metadata", "layout", &format!("--endpoint=127.0.0.1:{},127.0.0.1:{secured}", free_port())]).args(more);
        command.args(credentials.map(|path| format!("--credentials={}", path.display())));
        said(command).await
    };
    let without = run(Some(&credentials), &["--tls"]).await;
    assert!(without.code == 2 && without.error.contains("user name is empty"), "{without:?}");
    std::fs::write(credentials.join("username"), "root\n").unwrap();
    std::fs::write(credentials.join("password"), "planted-wrong").unwrap();
    let wrong = run(Some(&credentials), &["--tls"]).await;
    assert!(wrong.code == 2 && !wrong.error.contains("planted"), "{wrong:?}");
    std::fs::write(credentials.join("password"), "planted-etcd-password\n").unwrap();
    let right = run(Some(&credentials), &["--tls"]).await;
    assert_eq!((right.code, &right.json["layout"]), (0, &json!("2.1")), "{right:?}");
    let no_authority = run(None, &["--tls"]).await;
    assert!(no_authority.error.contains("need ca.crt"), "{no_authority:?}");
    let plain = run(Some(&credentials), &[]).await;
    assert!(plain.code == 2, "TLS is not spoken where it is not asked for: {plain:?}");
    drop(etcd);
}
