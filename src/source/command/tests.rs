//! Tests of what commands declare, each trap with a fixture of its own.

use crate::model::declaration::{Applier, Declaration, EvidenceKind, FlagKind, Layer, Lineage, NotCheckedKind, Operation, SetKind, ValuesStrategy};
use crate::model::place::Fact;
use crate::model::value::Lookup;
use crate::model::version::VersionSpec;
use crate::source::fixture::read_with;
use crate::source::{Reading, command};

pub(super) fn read_all(files: &[(&str, &str)]) -> Reading {
    read_with(command::read, files)
}

fn script(text: &str) -> Vec<Declaration> {
    read_all(&[("deploy/up.sh", text)]).declarations
}

fn one(text: &str) -> Declaration {
    let mut all = script(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn exact(version: &str) -> VersionSpec {
    VersionSpec::parse(version)
}

fn has(declaration: &Declaration, kind: FlagKind) -> bool {
    declaration.flags.iter().any(|flag| flag.kind == kind)
}

fn at<T>(fact: &Fact<T>) -> String {
    fact.place().map(ToString::to_string).unwrap_or_default()
}

fn text<T: AsRef<str>>(fact: &Fact<T>) -> &str {
    fact.known().map(AsRef::as_ref).unwrap_or_default()
}

#[test]
fn an_upgrade_is_declared_with_all_that_it_says() {
    let declaration = one(
        "#!/bin/bash\nhelm repo add zilliztech https://zilliztech.github.io/milvus-helm/\nhelm upgrade my-milvus zilliztech/milvus \\\n  --version 4.2.58 -n \"vectors\" --reuse-values --atomic --timeout=15m --wait --set image.all.tag=v2.5.16\n",
    );
    assert_eq!(declaration.operation, Operation::Upgrade);
    assert_eq!(declaration.applier, Applier::HelmUpgrade);
    assert_eq!(declaration.strategy, ValuesStrategy::Reuse);
    assert_eq!(declaration.chart.version.known(), Some(&exact("4.2.58")));
    assert_eq!(at(&declaration.chart.version), "deploy/up.sh:4:13");
    assert_eq!(text(&declaration.chart.repository), "https://zilliztech.github.io/milvus-helm/");
    assert_eq!(declaration.chart.lineage, Lineage::Zilliztech);
    assert_eq!((text(&declaration.name), at(&declaration.name).as_str()), ("my-milvus", "deploy/up.sh:3:14"));
    assert_eq!((text(&declaration.namespace), at(&declaration.namespace).as_str()), ("vectors", "deploy/up.sh:4:24"));
    assert_eq!(declaration.place.to_string(), "deploy/up.sh:3:1");
    assert_eq!(&*declaration.identity.scope, "deploy/up.sh");
    for kind in [FlagKind::ReuseValues, FlagKind::Atomic, FlagKind::Timeout, FlagKind::Wait, FlagKind::Set] {
        assert!(has(&declaration, kind), "{kind:?}");
    }
    let timeout = declaration.flags.iter().find(|flag| flag.kind == FlagKind::Timeout).unwrap();
    assert_eq!(timeout.value.as_deref(), Some("15m"));
    let [Layer::Set { kind: SetKind::Set, text, place, .. }] = declaration.layers.as_slice() else { panic!("{:?}", declaration.layers) };
    assert_eq!((&**text, place.to_string().as_str()), ("image.all.tag=v2.5.16", "deploy/up.sh:4:84"));
}

#[test]
fn the_place_of_a_flag_holds_its_argument() {
    for (flags, columns) in [("--timeout 5m --atomic", (28, 40)), ("--timeout=5m", (28, 40)), ("--timeout   \"5m\"", (28, 44)), ("--timeout", (28, 37))] {
        let declaration = one(&format!("helm upgrade m milvus/milvus {flags}\n"));
        let place = &declaration.flags.iter().find(|flag| flag.kind == FlagKind::Timeout).unwrap().place;
        assert_eq!((place.start.column, place.end.column), (columns.0 + 2, columns.1 + 2), "{flags}");
    }
}

#[test]
fn strategies_follow_what_helm_does() {
    let strategy = |flags: &str| one(&format!("helm upgrade m milvus/milvus {flags}\n")).strategy;
    assert_eq!(strategy(""), ValuesStrategy::KeptByDefault);
    assert_eq!(strategy("--set a=b"), ValuesStrategy::Replace);
    assert_eq!(strategy("-f nothing.yaml"), ValuesStrategy::Replace);
    assert_eq!(strategy("--reset-values"), ValuesStrategy::Replace);
    assert_eq!(strategy("--reset-then-reuse-values --set a=b"), ValuesStrategy::ResetThenReuse);
    assert_eq!(strategy("--reuse-values=false"), ValuesStrategy::KeptByDefault);
    assert_eq!(one("helm install m milvus/milvus").strategy, ValuesStrategy::Replace);
    // A values file without a value is none to Helm.
    let with_file = |content: &str, flags: &str| {
        let script = format!("helm upgrade m milvus/milvus -f v.yaml {flags}\n");
        read_all(&[("v.yaml", content), ("up.sh", &script)]).declarations.last().unwrap().strategy
    };
    assert_eq!(with_file("# milvus\n", ""), ValuesStrategy::KeptByDefault);
    assert_eq!(with_file("{}\n", ""), ValuesStrategy::KeptByDefault);
    assert_eq!(with_file("", "--reset-values"), ValuesStrategy::Replace);
    assert_eq!(with_file("", "--set a=b"), ValuesStrategy::Replace);
    assert_eq!(with_file("proxy: {replicas: 1}\n", ""), ValuesStrategy::Replace);
}

#[test]
fn values_files_are_found_beside_the_script_at_the_root_and_where_cd_leads() {
    let values = "image:\n  all:\n    tag: v2.4.1 # milvus\n";
    let tag = |script: &str, at: &str| {
        let reading = read_all(&[("ops/bin/up.sh", script), (at, values)]);
        let declaration = &reading.declarations[0];
        match declaration.layers.as_slice() {
            [Layer::Table { values, .. }] => values.lookup("image.all.tag").found().unwrap().node.origin.place().unwrap().to_string(),
            other => panic!("{script}: {other:?} {:?}", declaration.gaps),
        }
    };
    let call = "helm upgrade m milvus/milvus -f ";
    assert_eq!(tag(&format!("{call}values.yaml"), "ops/bin/values.yaml"), "ops/bin/values.yaml:3:10");
    assert_eq!(tag(&format!("{call}ops/v.yaml"), "ops/v.yaml"), "ops/v.yaml:3:10");
    assert_eq!(tag(&format!("cd ..\n{call}v.yaml"), "ops/v.yaml"), "ops/v.yaml:3:10");
    assert_eq!(tag(&format!("D=\"$(cd \"$(dirname \"$0\")/..\" && pwd)\"\n{call}\"$D\"/v.yaml"), "ops/v.yaml"), "ops/v.yaml:3:10");
    assert_eq!(tag(&format!("cd \"$(git rev-parse --show-toplevel)\"\n{call}v.yaml"), "v.yaml"), "v.yaml:3:10");
    assert_eq!(tag("helm upgrade m milvus/milvus --values=./v.yaml", "ops/bin/v.yaml"), "ops/bin/v.yaml:3:10");
}

#[test]
fn values_that_cannot_be_seen_are_gaps_with_their_place() {
    let declaration = one("helm upgrade m milvus/milvus -f a.yaml,$X/b.yaml -f https://x/c.yaml\n");
    assert_eq!(declaration.layers.len(), 3);
    assert!(declaration.layers.iter().all(|layer| matches!(layer, Layer::Unseen { .. })));
    assert!(declaration.gaps.iter().all(|gap| gap.kind == NotCheckedKind::PartlyChecked));
    assert_eq!(declaration.gaps[0].place.as_ref().unwrap().to_string(), "deploy/up.sh:1:33");
    assert_eq!(declaration.gaps[1].place.as_ref().unwrap().to_string(), "deploy/up.sh:1:40");
}

#[test]
fn here_documents_are_values_with_places() {
    let table = |script: &str| {
        let declaration = one(script);
        match declaration.layers.as_slice() {
            [Layer::Table { values, .. }] => values.clone(),
            other => panic!("{other:?} {:?}", declaration.gaps),
        }
    };
    let values = table(
        "T=v2.4.1\nhelm upgrade m milvus/milvus -f - <<EOF\nimage:\n  all:\n    tag: $T\n    repository: milvusdb/milvus\ncluster:\n  enabled: $UNSET\nEOF\n",
    );
    let tag = values.lookup("image.all.tag").found().unwrap();
    assert_eq!(tag.node.value.as_str(), Some("v2.4.1"));
    assert_eq!(tag.node.origin.place().unwrap().to_string(), "deploy/up.sh:1:3");
    let repository = values.lookup("image.all.repository").found().unwrap().node.origin.place().unwrap().clone();
    assert_eq!((repository.start.line, repository.start.column, repository.end.column), (6, 17, 32));
    assert!(matches!(values.lookup("cluster.enabled"), Lookup::Unknown(_)));
    for script in [
        "cat > v.yaml <<EOF\na: 1\nEOF\nhelm upgrade m milvus/milvus -f v.yaml\n",
        "cat <<EOF | helm upgrade m milvus/milvus --values -\na: 1\nEOF\n",
        "tee ./v.yaml >/dev/null <<'EOF'\na: 1\nEOF\nhelm upgrade m milvus/milvus -f v.yaml\n",
    ] {
        assert!(table(script).lookup("a").found().is_some(), "{script}");
    }
}

#[test]
fn charts_are_recognised_in_all_their_forms() {
    let chart = |call: &str| {
        let declaration = one(&format!("{call}\n"));
        let version = match &declaration.chart.version {
            Fact::Known(VersionSpec::Exact(version), _) => version.to_string(),
            Fact::Known(..) => "range".into(),
            Fact::Unknown(..) => "?".into(),
            Fact::Absent => String::new(),
        };
        (declaration.chart.lineage, version)
    };
    let zilliztech = |version: &str| (Lineage::Zilliztech, version.to_owned());
    assert_eq!(chart("helm install m zilliztech/milvus --version 4.1.5"), zilliztech("4.1.5"));
    assert_eq!(chart("helm install m milvus/milvus"), zilliztech(""));
    assert_eq!(chart("helm install m milvus --repo https://zilliztech.github.io/milvus-helm --version='~4.1'"), zilliztech("range"));
    assert_eq!(chart("helm install m https://github.com/zilliztech/milvus-helm/releases/download/milvus-4.2.58/milvus-4.2.58.tgz"), zilliztech("4.2.58"));
    assert_eq!(chart("helm repo add m https://milvus-io.github.io/milvus-helm/\nhelm install x m/milvus"), (Lineage::Archived, String::new()));
    assert_eq!(chart("helm repo add milvus https://charts.bitnami.com/bitnami\nhelm install x milvus/milvus").0, Lineage::Bitnami);
    assert_eq!(chart("helm install m oci://registry-1.docker.io/bitnamicharts/milvus --version 1.2.3").1, "1.2.3");
    assert_eq!(chart("helm install m ./milvus-4.1.5.tgz"), (Lineage::Unknown, "4.1.5".into()));
    assert_eq!(chart("helm install m ./charts/milvus"), (Lineage::Unknown, "?".into()));
    assert_eq!(chart("helm install m zilliztech/milvus --version $V"), zilliztech("?"));
    assert_eq!(chart("git clone https://github.com/zilliztech/milvus-helm\nhelm install m ./milvus-helm/charts/milvus"), zilliztech("?"));
    assert_eq!(chart("helm install m $REPO/milvus --version 4.1.5"), (Lineage::Unknown, "4.1.5".into()));
    for other in ["helm install m milvus/milvus-operator", "helm install milvus bitnami/etcd", "helm install attu ./charts/attu", "helm upgrade milvus"] {
        assert!(script(other).is_empty(), "{other}");
    }
}

#[test]
fn a_repository_added_in_another_file_gives_the_alias_its_meaning() {
    let reading =
        read_all(&[("setup.sh", "helm repo add vectors https://zilliztech.github.io/milvus-helm/\n"), ("up.sh", "helm upgrade milvus vectors/milvus\n")]);
    let upgrade = reading.declarations.iter().find(|d| d.operation == Operation::Upgrade).unwrap();
    assert_eq!(upgrade.chart.lineage, Lineage::Zilliztech);
    assert_eq!(at(&upgrade.chart.repository), "setup.sh:1:23");
}

#[test]
fn charts_of_the_tree_are_read_through() {
    let reading = read_all(&[
        (
            "charts/app/Chart.yaml",
            "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n  - name: milvus\n    version: 4.2.58\n    repository: https://zilliztech.github.io/milvus-helm\n",
        ),
        ("charts/app/values.yaml", "milvus:\n  cluster:\n    enabled: true\n"),
        ("deploy.sh", "helm upgrade -i app ./charts/app --set milvus.image.all.tag=v2.5.16 --atomic\n"),
    ]);
    let declaration = &reading.declarations[0];
    assert_eq!(declaration.operation, Operation::UpgradeInstall);
    assert_eq!(declaration.chart.version.known(), Some(&exact("4.2.58")));
    assert_eq!(declaration.place.to_string(), "deploy.sh:1:1");
    assert!(has(declaration, FlagKind::Atomic));
    assert!(declaration.layers.iter().any(|layer| matches!(layer, Layer::Set { text, .. } if &**text == "image.all.tag=v2.5.16")), "{:?}", declaration.layers);
}

#[test]
fn the_chart_that_an_upgrade_names_decides_and_not_a_pull_before_it() {
    let version = |rest: &str| {
        let all = script(&format!("helm pull zilliztech/milvus --version 4.1.5 {rest}\n"));
        let last = all.last().unwrap();
        last.chart.version.known().map(ToString::to_string).unwrap_or_default()
    };
    assert_eq!(version("\nhelm upgrade m zilliztech/milvus --version 4.2.58"), "4.2.58");
    assert_eq!(version("--untar\nhelm upgrade m zilliztech/milvus --version 4.2.58"), "4.2.58");
    assert_eq!(version("--untar --untardir charts\nhelm upgrade m charts/milvus"), "4.1.5");
    assert_eq!(version("--untar --untardir=deep -d ./charts\ncd charts/deep\nhelm upgrade m ./milvus"), "4.1.5");
    assert_eq!(version("-d /tmp/c\nhelm upgrade m /tmp/c/milvus-4.1.5.tgz"), "4.1.5");
    assert_eq!(version("--untar\ncd milvus && helm upgrade m ."), "4.1.5");
    assert_eq!(version("--untar\nhelm pull zilliztech/milvus --version 4.2.0 --untar --untardir later\nhelm upgrade m ./milvus"), "4.1.5");
}

#[test]
fn a_rehearsal_is_judged_with_what_it_rehearses() {
    let operations = |text: &str| script(text).iter().map(|d| d.operation).collect::<Vec<_>>();
    let arguments = "m zilliztech/milvus --version 4.2.58 -n x --set a=b";
    let upgrade = format!("helm upgrade {arguments}\n");
    assert_eq!(operations(&format!("helm template {arguments} > m.yaml\n{upgrade}")), [Operation::Upgrade]);
    assert_eq!(operations(&format!("helm upgrade {arguments} --dry-run\n{upgrade}")), [Operation::Upgrade]);
    assert_eq!(operations(&format!("helm upgrade {arguments} --set c=d --dry-run\n{upgrade}")).len(), 2);
    assert_eq!(operations(&format!("helm template {arguments} | kubectl apply -f -\n")), [Operation::Template]);
}

#[test]
fn a_chart_that_was_pulled_before_is_known() {
    let all = script("helm pull zilliztech/milvus --version 4.1.5 --untar\nhelm install m ./milvus -n x\nhelm upgrade m milvus-4.1.5.tgz\n");
    assert_eq!(all.iter().map(|d| d.operation).collect::<Vec<_>>(), [Operation::Pull, Operation::Install, Operation::Upgrade]);
    assert!(all.iter().all(|d| d.chart.version.known() == Some(&exact("4.1.5")) && d.chart.lineage == Lineage::Zilliztech));
}

#[test]
fn arrays_variables_and_continuations_are_followed() {
    let declaration = one(
        "VERSION=${CHART_VERSION:-4.1.5}\nHELM_ARGS=(\n  --namespace milvus # where\n  --version \"$VERSION\"\n)\nif [ -n \"$DRY\" ]; then HELM_ARGS+=(--dry-run); fi\ncmd=(helm upgrade --install milvus milvus/milvus)\n\"${cmd[@]}\" \"${HELM_ARGS[@]}\"\n",
    );
    assert_eq!(declaration.operation, Operation::UpgradeInstall);
    assert_eq!((declaration.chart.version.known(), at(&declaration.chart.version).as_str()), (Some(&exact("4.1.5")), "deploy/up.sh:1:26"));
    assert_eq!(at(&declaration.namespace), "deploy/up.sh:3:15");
    assert_eq!(declaration.gaps.len(), 1);
    assert!(!has(&declaration, FlagKind::DryRun));
}

#[test]
fn unknown_values_of_set_hide_only_their_key() {
    let declaration = one("helm upgrade m milvus/milvus --set a.b=1,image.all.tag=$TAG,c=2 --set-string 'x={1,2}' --set minio.x[0].y=$Z\n");
    let lookup = |layer: &Layer, path: &str| match layer {
        Layer::Table { values, .. } => matches!(values.lookup(path), Lookup::Unknown(_)),
        _ => false,
    };
    let layers = &declaration.layers;
    assert!(matches!(&layers[0], Layer::Set { text, place, .. } if &**text == "a.b=1" && place.to_string() == "deploy/up.sh:1:36"));
    assert!(lookup(&layers[1], "image.all.tag"));
    assert!(matches!(&layers[2], Layer::Set { text, .. } if &**text == "c=2"));
    assert!(lookup(&layers[3], "minio.x"));
    assert!(matches!(&layers[4], Layer::Set { kind: SetKind::SetString, text, .. } if &**text == "x={1,2}"));
}

#[test]
fn what_speaks_of_commands_is_no_command() {
    for hint in [
        "# helm upgrade m milvus/milvus",
        "echo helm upgrade m milvus/milvus",
        "echo \"run: helm upgrade m milvus/milvus\"",
        "printf 'helm upgrade m milvus/milvus\\n'",
        "cat <<EOF\nhelm upgrade m milvus/milvus\nEOF",
        ": 'helm upgrade m milvus/milvus'",
        "log_info \"helm upgrade\" helm upgrade m milvus/milvus",
        "if grep -q 'helm upgrade m milvus/milvus' x; then y; fi",
    ] {
        assert!(script(hint).is_empty(), "{hint}");
    }
}

#[test]
fn helm_2_is_recognised_by_its_syntax() {
    let declaration = one("helm install --name my-milvus milvus/milvus --namespace x\n");
    assert_eq!(text(&declaration.name), "my-milvus");
    assert_eq!(declaration.helm.known().map(AsRef::as_ref), Some("2"));
    assert_eq!(at(&declaration.helm), "deploy/up.sh:1:14");
    let removed = script("helm install --name m milvus/milvus\nhelm delete --purge m\n");
    assert_eq!(removed[1].operation, Operation::Uninstall);
}

#[test]
fn uninstall_and_install_are_linked_only_where_one_leads_to_the_other() {
    let after = |text: &str| script(text).iter().any(|d| has(d, FlagKind::AfterUninstall));
    assert!(after("helm uninstall m -n x\nsleep 5\nhelm install m milvus/milvus -n x\n"));
    assert!(after("helm uninstall \"$R\"\nhelm install \"$R\" milvus/milvus\n"));
    assert!(after("R=$1\nhelm uninstall $R || true\nhelm install $R milvus/milvus\n"));
    assert!(!after("helm uninstall other\nhelm install m milvus/milvus\n"));
    assert!(!after("helm install m milvus/milvus\nhelm uninstall m\n"));
    assert!(!after("case $1 in\n down) helm uninstall m;;\n up) helm install m milvus/milvus;;\nesac\n"));
    assert!(!after("if [ $1 = down ]; then\n helm uninstall m\n exit 0\nfi\nhelm install m milvus/milvus\n"));
    assert!(!after("down() { helm uninstall m; }\nup() { helm install m milvus/milvus; }\n\"$1\"\n"));
    let makefile = read_all(&[("Makefile", "down:\n\thelm uninstall m\nup:\n\thelm install m milvus/milvus\n")]);
    assert!(!makefile.declarations.iter().any(|d| has(d, FlagKind::AfterUninstall)));
}

#[test]
fn what_kubectl_deletes_before_is_told_where_it_is_the_releases() {
    let deleted = |text: &str| {
        let all = script(&format!("{text}\nhelm install my-milvus milvus/milvus -n vectors\n"));
        all.last().and_then(|d| d.flags.iter().find(|flag| flag.kind == FlagKind::AfterClaimDeletion).and_then(|flag| flag.value.clone()))
    };
    for text in [
        "kubectl delete pvc -l app.kubernetes.io/instance=my-milvus -n vectors",
        "kubectl -n vectors delete pvc data-my-milvus-etcd-0 export-my-milvus-minio-0",
        "kubectl delete pvc --all -n vectors",
        "kubectl delete pvc/my-milvus",
        "kubectl delete persistentvolumeclaim $(kubectl get pvc -l release=my-milvus -o name)",
        "kubectl delete pvc -l app=pulsar,release=my-milvus",
        "kubectl --as admin -n vectors delete --timeout 60s pvc --all",
        "kubectl delete pvc,pv -lrelease=my-milvus -nvectors",
        "kubectl delete deploy/x pvc/data-my-milvus-etcd-0",
        "kubectl get pvc -n vectors -o name | grep my-milvus | xargs kubectl delete -n vectors",
        "kubectl get pvc -n vectors -o name | xargs -n1 kubectl -n vectors delete",
        "kubectl get pvc -o name -l release=my-milvus | xargs -I{} kubectl delete {}",
        "kubectl delete $(kubectl get pvc -o name | grep my-milvus)",
        "for c in $(kubectl get pvc -o name | grep milvus); do kubectl delete $c; done",
        "kubectl get pvc -n vectors --no-headers | awk '{print $1}' | while read c; do kubectl delete pvc \"$c\" -n vectors; done",
        "ssh host bash -s <<'EOF'\nkubectl delete pvc --all -n vectors\nEOF",
        "alias k='kubectl -n vectors'\nk delete pvc --all",
        "[ -z \"$X\" ] || kubectl delete pvc --all -n vectors",
        "kubectl delete pvc --all -n vectors || exit 1",
    ] {
        assert_eq!(deleted(text).as_deref(), Some("claims that hold its data"), "{text}");
    }
    for text in ["kubectl delete ns vectors --ignore-not-found", "kubectl delete namespace/vectors"] {
        assert_eq!(deleted(text).as_deref(), Some("its namespace"), "{text}");
    }
    for text in [
        "kubectl delete pvc --all -n other",
        "kubectl delete pvc data-redis-0 -n vectors",
        "kubectl delete ns other",
        "kubectl delete pod -l app.kubernetes.io/instance=my-milvus",
        "kubectl delete ns vectors --dry-run=client",
        "echo kubectl delete ns vectors",
        "curl -X POST http://localhost:9091/api/v1/persist\nkubectl delete pvc -l app=pulsar,release=my-milvus",
        "kubectl delete pvc data-my-milvus-dev-etcd-0",
        "kubectl get pvc -o name | grep my-milvus-dev | xargs kubectl delete",
        "kubectl get pvc -n other -o name | xargs kubectl delete -n other",
        "kubectl get pods -o name | xargs kubectl delete",
        "[ \"$1\" = purge ] && kubectl delete pvc --all -n vectors && exit",
        "test \"$1\" = purge && { kubectl delete pvc --all -n vectors; exit 0; }",
        "alias k=kubectl\necho k delete pvc --all -n vectors",
    ] {
        assert_eq!(deleted(text), None, "{text}");
    }
    let by_variable = script("kubectl delete ns \"$NS\"\nhelm install \"$R\" milvus/milvus -n \"$NS\"\n");
    assert!(has(by_variable.last().unwrap(), FlagKind::AfterClaimDeletion));
}

#[test]
fn what_a_target_of_make_needs_happens_before() {
    let of = |makefile: &str| {
        let all = read_all(&[("Makefile", makefile)]).declarations;
        let told = |d: &Declaration| format!("{} {}", d.identity.scope, has(d, FlagKind::AfterClaimDeletion));
        all.iter().filter(|d| d.operation == Operation::Install).map(told).collect::<Vec<_>>()
    };
    let purge = "purge:\n\tkubectl delete pvc --all\n";
    let up = "\n\thelm install m milvus/milvus\n";
    assert_eq!(of(&format!("{purge}up: purge{up}")), ["Makefile#up true"]);
    assert_eq!(of(&format!("up: | wipe # comment{up}wipe: purge\n{purge}")), ["Makefile#up true"]);
    assert_eq!(of(&format!("again: purge up\nup:{up}{purge}")), ["Makefile#up true"]);
    assert_eq!(of(&format!("again: up purge\nup:{up}{purge}")), ["Makefile#up false"]);
    assert_eq!(of(&format!("{purge}up:{up}")), ["Makefile#up false"]);
    assert_eq!(of(&format!("a: b\nb: a{up}")), ["Makefile#b false"]);
    // What is needed is declared where it stands, and there alone.
    assert_eq!(of(&format!("test: up\n\techo ok\nup:{up}")), ["Makefile#up false"]);
}

#[test]
fn steps_of_a_pipeline_that_never_run_together_lead_to_each_other_no_more() {
    let of = |purge: &str, up: &str| {
        let text = format!(
            "on: workflow_dispatch\njobs:\n  a:\n    runs-on: x\n    steps:\n      - if: {purge}\n        run: kubectl delete pvc --all\n      - if: {up}\n        run: helm install m milvus/milvus\n"
        );
        has(read_all(&[(".github/workflows/a.yaml", &text)]).declarations.last().unwrap(), FlagKind::AfterClaimDeletion)
    };
    assert!(!of("inputs.action == 'purge'", "inputs.action == 'up'"));
    assert!(!of("${{ inputs.action == 'purge' }}", "\"${{ inputs.action == 'up' }}\""));
    assert!(of("inputs.purge", "always()"));
    // An action between them has none of their conditions.
    let cluster = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - if: inputs.a == '1'\n        run: helm version\n      - uses: helm/kind-action@v1\n      - if: inputs.a == '2'\n        run: helm install m milvus/milvus\n";
    assert!(has(read_all(&[(".github/workflows/a.yaml", cluster)]).declarations.last().unwrap(), FlagKind::ThrowAwayCluster));
    let circle = |key: &str| {
        let steps =
            |key: &str, run: &str| format!("      - {key}:\n          condition: << pipeline.parameters.purge >>\n          steps: [{{run: \"{run}\"}}]\n");
        let text = format!("jobs:\n  a:\n    steps:\n{}{}", steps("when", "kubectl delete pvc --all"), steps(key, "helm install m milvus/milvus"));
        has(read_all(&[(".circleci/config.yml", &text)]).declarations.last().unwrap(), FlagKind::AfterClaimDeletion)
    };
    assert!(circle("when") && !circle("unless"));
    let jenkins = |purge: &str, up: &str| {
        let stage = |when: &str, run: &str| format!("  stage('a') {{\n    when {{ {when} }}\n    steps {{ sh '{run}' }}\n  }}\n");
        let text = format!("pipeline {{ stages {{\n{}{}}} }}\n", stage(purge, "kubectl delete pvc --all"), stage(up, "helm install m milvus/milvus"));
        has(read_all(&[("Jenkinsfile", &text)]).declarations.last().unwrap(), FlagKind::AfterClaimDeletion)
    };
    let is = |action: &str| format!("expression {{ return params.ACTION == '{action}' }}");
    assert!(!jenkins(&is("purge"), &is("up")));
    assert!(jenkins(&is("purge"), &format!("not {{ {} }}", is("up"))) && jenkins(&is("up"), &is("up")) && jenkins("branch 'main'", &is("up")));
}

#[test]
fn flushes_clusters_and_migrations_before_are_told() {
    let all = script(
        "kind create cluster --image kindest/node:v1.19.1\ncurl -X GET http://localhost:9091/api/v1/persist\n./migrate.sh -n x -i m -s 2.1.4 -t 2.2.0 -r by-dev -w milvusdb/milvus:v2.2.0 -d true\nhelm upgrade m milvus/milvus -n x --version 4.0.34\nhelm upgrade other milvus/milvus -n x\n",
    );
    let migrate = &all[0];
    assert_eq!((migrate.operation, text(&migrate.image)), (Operation::MigrateScript, "milvusdb/milvus:v2.2.0"));
    let upgrade = &all[1];
    assert!(has(upgrade, FlagKind::ThrowAwayCluster) && has(upgrade, FlagKind::AfterFlush));
    assert_eq!(text(&upgrade.kubernetes), "v1.19.1");
    assert!(matches!(&upgrade.evidence[..], [e] if e.kind == EvidenceKind::MigrateCall { to: Some("2.2.0".into()) }));
    assert!(all[2].evidence.is_empty());
    let guard = script("milvus-guard migrate -i m -s 2.1.4 -t 2.2.0\nhelm upgrade m milvus/milvus\n");
    assert_eq!(guard[1].evidence.len(), 1);
    assert!(script("./db/migrate.sh up\n").is_empty());
}

#[test]
fn acknowledgements_beside_a_command_are_evidence() {
    let all = script(
        "# guard.milvus-guard.dev/ack: MV210 OPS-1\nhelm upgrade m milvus/milvus \\\n  --version 5.0.19\n\nhelm upgrade n milvus/milvus # guard.milvus-guard.dev/ack: MV201 OPS-2\nhelm upgrade o milvus/milvus\n",
    );
    let rules: Vec<Vec<String>> = all
        .iter()
        .map(|d| d.evidence.iter().filter_map(|e| if let EvidenceKind::Acknowledged { rule, .. } = &e.kind { Some(rule.to_string()) } else { None }).collect())
        .collect();
    assert_eq!(rules, [vec!["MV210"], vec!["MV201"], vec![]]);
}

#[test]
fn upgrades_of_one_release_are_a_sequence() {
    let all = script(
        "helm upgrade m milvus/milvus --version 4.0.34\nhelm upgrade m milvus/milvus --version 4.2.58\nhelm upgrade m milvus/milvus --dry-run\nhelm upgrade m milvus/milvus --kube-context eu\n",
    );
    assert_eq!(script("for i in 1 2 3; do helm upgrade m milvus/milvus && break; done\n").len(), 1);
    assert_eq!(script("for i in a b; do helm upgrade $i milvus/milvus; done\n").len(), 2);
    let scopes: Vec<&str> = all.iter().map(|d| &*d.identity.scope).collect();
    assert_eq!(scopes, ["deploy/up.sh", "deploy/up.sh@2", "deploy/up.sh (dry run)", "deploy/up.sh (context eu)"]);
}

#[test]
fn workflows_tell_tools_clusters_and_triggers() {
    let text = "on: push\nenv:\n  CHART: 4.1.5\njobs:\n  test:\n    runs-on: ubuntu\n    steps:\n      - uses: azure/setup-helm@v3\n        with:\n          version: v3.8.0\n      - uses: helm/kind-action@v1\n        with: {node_image: \"kindest/node:v1.20.1\"}\n      - run: |\n          helm upgrade --install milvus milvus/milvus \\\n            --version ${{ env.CHART }} -f v.yaml\n        working-directory: deploy\n  prod:\n    runs-on: ubuntu\n    steps:\n      - run: helm install milvus milvus/milvus --version $CHART\n";
    let reading = read_all(&[(".github/workflows/x.yml", text), ("deploy/v.yaml", "a: 1 # milvus\n")]);
    let [test, prod] = reading.declarations.as_slice() else { panic!("two") };
    assert_eq!((text_of(&test.helm), at(&test.helm)), ("v3.8.0".to_owned(), ".github/workflows/x.yml:10:20".to_owned()));
    assert_eq!(text_of(&test.kubernetes), "v1.20.1");
    assert!(has(test, FlagKind::ThrowAwayCluster) && has(test, FlagKind::Pipeline));
    assert_eq!(test.place.to_string(), ".github/workflows/x.yml:14:11");
    assert_eq!(at(&test.chart.version), ".github/workflows/x.yml:3:10");
    assert!(matches!(test.layers.as_slice(), [Layer::Table { .. }]));
    assert_eq!(&*test.identity.scope, ".github/workflows/x.yml#test");
    assert!(has(prod, FlagKind::Pipeline) && !has(prod, FlagKind::ThrowAwayCluster) && prod.helm.is_absent());
    assert_eq!(prod.chart.version.known(), Some(&exact("4.1.5")));
    let manual = read_all(&[("w.yml", "on: workflow_dispatch\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: helm install m milvus/milvus\n")]);
    assert!(!has(&manual.declarations[0], FlagKind::Pipeline));
}

fn text_of<T: AsRef<str>>(fact: &Fact<T>) -> String {
    text(fact).to_owned()
}

#[test]
fn helm_versions_are_told_in_many_ways() {
    for (before, version) in [
        ("HELM_VERSION=v3.9.0", "v3.9.0"),
        ("curl https://raw.githubusercontent.com/helm/helm/main/scripts/get-helm-3 | bash -s -- --version v3.10.1", "v3.10.1"),
        ("DESIRED_VERSION=v3.7.0 ./get_helm.sh", "v3.7.0"),
        ("curl -LO https://get.helm.sh/helm-v3.6.3-linux-amd64.tar.gz", "v3.6.3"),
        ("asdf install helm 3.11.0", "3.11.0"),
    ] {
        let declaration = one(&format!("{before}\nhelm upgrade m milvus/milvus\n"));
        assert_eq!(text(&declaration.helm), version, "{before}");
    }
    let declaration = one("docker run --rm -v x:/x alpine/helm:3.12.0 upgrade m milvus/milvus\n");
    assert_eq!((text(&declaration.helm), at(&declaration.helm).as_str()), ("3.12.0", "deploy/up.sh:1:37"));
    let gitlab = read_all(&[(".gitlab-ci.yml", "up:\n  image: alpine/helm:3.8.1\n  script:\n    - helm upgrade m milvus/milvus\n")]);
    assert_eq!(text(&gitlab.declarations[0].helm), "3.8.1");
}

#[test]
fn workloads_changed_past_helm_are_told() {
    for (call, image) in [
        ("kubectl set image deployment/my-milvus-proxy proxy=milvusdb/milvus:v2.5.16 -n x", "milvusdb/milvus:v2.5.16"),
        (
            "kubectl -n x patch deploy my-milvus-datanode -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"datanode\",\"image\":\"milvusdb/milvus:v2.4.1\"}]}}}}'",
            "milvusdb/milvus:v2.4.1",
        ),
        ("kubectl scale --replicas=0 deployment my-milvus-querynode", ""),
        ("kubectl edit deployment milvus-standalone", ""),
        ("kubectl set image deploy/proxy proxy=milvusdb/milvus:v2.5.16", "milvusdb/milvus:v2.5.16"),
    ] {
        let declaration = one(&format!("{call}\n"));
        assert_eq!((declaration.operation, text(&declaration.image)), (Operation::DirectChange, image), "{call}");
    }
    for other in [
        "kubectl -n milvus scale deploy attu --replicas=1",
        "kubectl get deploy milvus-proxy",
        "kubectl patch milvus my-release --type merge -p '{}'",
        "echo kubectl edit deployment milvus-standalone",
        "kubectl edit deploy milvus-operator",
        "kubectl rollout restart deployment milvus-proxy",
    ] {
        assert!(script(other).is_empty(), "{other}");
    }
}

#[test]
fn the_rolling_script_is_told() {
    for call in [
        "bash ./rollingUpdate.sh -n x -i m -t 2.2.5 -w milvusdb/milvus:v2.2.5 -o update",
        "curl -s https://raw.githubusercontent.com/milvus-io/milvus/master/deployments/upgrade/rollingUpdate.sh | bash -s -- -n x -i m -t 2.2.5 -w milvusdb/milvus:v2.2.5",
    ] {
        let declaration = one(&format!("{call}\n"));
        assert_eq!(declaration.operation, Operation::RollingScript);
        assert_eq!((text(&declaration.name), text(&declaration.namespace), text(&declaration.image)), ("m", "x", "milvusdb/milvus:v2.2.5"));
    }
}

#[test]
fn scripts_inside_arguments_are_read() {
    let declaration = one("ssh host \"helm upgrade m milvus/milvus --version 4.1.5\"\n");
    assert_eq!(at(&declaration.chart.version), "deploy/up.sh:1:50");
    assert_eq!(one("bash -lc 'cd x && helm upgrade m milvus/milvus'\n").operation, Operation::Upgrade);
    assert_eq!(one("C=\"helm upgrade m milvus/milvus\"\neval \"$C\"\n").operation, Operation::Upgrade);
}

#[test]
fn templates_rollbacks_and_repositories_are_told() {
    let all = script("helm repo add milvus https://milvus-io.github.io/milvus-helm/\nhelm rollback my-milvus 3 -n x\n");
    assert_eq!(all.iter().map(|d| d.operation).collect::<Vec<_>>(), [Operation::Rollback, Operation::RepoAdd]);
    assert_eq!(all[1].chart.lineage, Lineage::Archived);
    let template = one("helm template m milvus/milvus --kube-version 1.19 | kubectl apply -f -\n");
    assert_eq!((template.operation, template.applier, text(&template.kubernetes)), (Operation::Template, Applier::Template, "1.19"));
}

#[test]
fn what_cannot_be_told_is_said() {
    let gaps = |text: &str| read_all(&[("up.sh", text)]).gaps;
    assert_eq!(gaps("helm upgrade milvus \"$CHART\"\n").len(), 1);
    assert_eq!(gaps("helm $ACTION milvus milvus/milvus\n").len(), 1);
    assert!(gaps("helm upgrade etcd \"$CHART\" # milvus\n").is_empty());
    assert_eq!(one("helm upgrade m milvus/milvus --set a=b $EXTRA\n").gaps.len(), 1);
    let reason = |text: &str| one(text).gaps[0].reason.to_string();
    assert!(reason("helm upgrade m milvus/milvus --set a=b $EXTRA\n").starts_with("the arguments in `$EXTRA` are not known"));
    let array = "ARGS=()\nif [ -n \"$TAG\" ]; then ARGS+=(--set image.all.tag=$TAG); fi\nhelm upgrade m milvus/milvus \"${ARGS[@]}\"\n";
    assert_eq!(reason(array), "whether `--set` is given depends on a condition of the script: what it sets is not checked");
    let declaration = one("helm $GLOBAL upgrade $FLAGS $RELEASE milvus/milvus\n");
    assert!(declaration.name.is_unknown());
    assert_eq!(declaration.gaps.len(), 2);
    assert!(one("helm upgrade -i $RELEASE milvus/milvus\n").gaps.is_empty());
    assert!(!has(&one("helm upgrade m milvus/milvus --set a=b \"$@\"\n"), FlagKind::Set));
}

#[test]
fn secrets_do_not_reach_messages() {
    let reading = read_all(&[("up.sh", "helm upgrade m milvus/milvus --set minio.secretKey=hunter2,$X=hunter2 \"hunter2$Y\"\n")]);
    let said: Vec<String> = reading.declarations.iter().flat_map(|d| &d.gaps).chain(&reading.gaps).map(|gap| gap.reason.to_string()).collect();
    assert!(!said.is_empty() && said.iter().all(|reason| !reason.contains("hunter2")), "{said:?}");
}

#[test]
fn objects_in_here_documents_are_read_at_their_places() {
    let application = |indent: &str| {
        let lines = [
            "apiVersion: v1",
            "kind: Namespace",
            "---",
            "apiVersion: argoproj.io/v1alpha1",
            "kind: Application",
            "metadata: {name: milvus}",
            "spec:",
            "  destination: {namespace: $NS}",
            "  source:",
            "    repoURL: https://zilliztech.github.io/milvus-helm",
            "    chart: milvus",
            "    targetRevision: 4.2.58",
            "EOF",
        ];
        lines.map(|line| format!("{indent}{line}\n")).concat()
    };
    let shell = format!("NS=vectors\nkubectl apply -f - <<EOF\n{}", application(""));
    let workflow =
        format!("jobs:\n  a:\n    runs-on: x\n    steps:\n      - run: |\n          cat <<EOF | kubectl apply -n argocd -f -\n{}", application("          "));
    for (path, text, place) in [("up.sh", &shell, "up.sh:14:21"), ("w.yml", &workflow, "w.yml:18:31")] {
        let reading = read_all(&[(path, text)]);
        let [declaration] = reading.declarations.as_slice() else { panic!("{path}: {:?}", reading.declarations) };
        assert_eq!((declaration.chart.version.known(), at(&declaration.chart.version).as_str()), (Some(&exact("4.2.58")), place));
    }
    assert!(read_all(&[("up.sh", &shell.replace("kubectl apply -f -", "cat"))]).declarations.is_empty());
}

#[test]
fn a_broken_script_is_said_and_the_rest_is_read() {
    let reading = read_all(&[(
        "up.sh",
        "echo \"begin\"\nhelm upgrade m milvus/milvus --version \"4.1.5\"\necho \"oops\nhelm upgrade n milvus/milvus --version 4.2.58\n",
    )]);
    assert_eq!(reading.declarations.len(), 2);
    let [gap] = reading.gaps.as_slice() else { panic!("{:?}", reading.gaps) };
    assert_eq!((gap.kind, gap.place.as_ref().unwrap().start.line), (NotCheckedKind::NotRead, 3));
    assert!(read_all(&[("up.sh", "helm upgrade m milvus/milvus\necho \"oops\n")]).gaps.is_empty());
}

#[test]
fn scripts_on_the_input_of_a_shell_are_read() {
    for text in [
        "bash <<EOF\nhelm upgrade m milvus/milvus --version 5.0.19\nEOF\n",
        "ssh host <<'EOF'\nhelm upgrade m milvus/milvus --version 5.0.19\nEOF\n",
        "kubectl exec -i pod -- sh -e <<EOF\nhelm upgrade m milvus/milvus --version 5.0.19\nEOF\n",
    ] {
        let found = script(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].place.to_string(), "deploy/up.sh:2:1", "{text}");
    }
    assert!(script("bash deploy.sh <<EOF\nhelm upgrade m milvus/milvus\nEOF\ncat <<EOF\nhelm upgrade m milvus/milvus\nEOF\n").is_empty());
}

#[test]
fn a_cluster_that_is_made_in_some_cases_only_is_told_as_such() {
    let value = |before: &str| {
        let all = script(&format!("{before}\nhelm upgrade --install m milvus/milvus --version 5.0.19\n"));
        all[0].flags.iter().find(|flag| flag.kind == FlagKind::ThrowAwayCluster).map(|flag| flag.value.is_none())
    };
    assert_eq!(value("kind create cluster"), Some(true));
    assert_eq!(value("if [ -n \"$CI\" ]; then kind create cluster; fi"), Some(false));
    assert_eq!(value("kind get clusters | grep -q dev || kind create cluster"), Some(false));
    assert_eq!(value(""), None);
    let job = |when: &str| {
        let text = format!(
            "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - uses: helm/kind-action@v1\n{when}      - run: helm upgrade --install m milvus/milvus\n"
        );
        let all = read_all(&[(".github/workflows/x.yml", &text)]).declarations;
        all[0].flags.iter().find(|flag| flag.kind == FlagKind::ThrowAwayCluster).map(|flag| flag.value.is_none())
    };
    assert_eq!((job(""), job("        if: inputs.env == 'dev'\n"), job("        if: startsWith(github.ref, 'x')\n")), (Some(true), Some(false), Some(false)));
}

#[test]
fn a_dry_run_that_is_asked_for_elsewhere_may_be_none() {
    let is_dry =
        |flag: &str| script(&format!("helm upgrade m milvus/milvus --version 5.0.19 {flag}\n"))[0].flags.iter().any(|flag| flag.kind == FlagKind::DryRun);
    assert!(is_dry("--dry-run") && is_dry("--dry-run=client") && !is_dry("--dry-run=$DRY") && !is_dry("--dry-run=none"));
}

#[test]
fn manifests_that_are_only_validated_are_a_dry_run() {
    let is_dry = |text: &str| script(text)[0].flags.iter().any(|flag| flag.kind == FlagKind::DryRun);
    assert!(is_dry("helm template m milvus/milvus --version 5.0.19 | kubeconform -strict -\n"));
    assert!(!is_dry("helm template m milvus/milvus --version 5.0.19 | kubectl apply -f -\n"));
    assert!(!is_dry("helm template m milvus/milvus --version 5.0.19 | tee all.yaml | kubeconform -\n"));
    assert!(!is_dry("helm template m milvus/milvus --version 5.0.19\nkubeconform all.yaml\n"));
    assert_eq!(script("for i in 1 2 3; do helm template m milvus/milvus --version 5.0.19 | kubeconform -; done\n").len(), 1);
}

#[test]
fn releases_beyond_the_limit_of_a_loop_are_told() {
    let text = |last: usize| {
        let numbers = |last: usize| (1..=last).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        format!("for a in {}; do for b in {}; do\nhelm upgrade -i v$a-$b zilliztech/milvus --version 4.2.58\ndone; done\n", numbers(8), numbers(last))
    };
    let within = read_all(&[("up.sh", &text(8))]);
    assert_eq!((within.declarations.len(), within.gaps.len()), (64, 0));
    let beyond = read_all(&[("up.sh", &text(9))]);
    let [gap] = beyond.gaps.as_slice() else { panic!("one") };
    assert_eq!((beyond.declarations.len(), gap.kind, gap.place.as_ref().unwrap().start.line), (64, NotCheckedKind::LimitsExceeded, 2));
}
