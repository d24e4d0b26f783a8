//! What hostile or broken files may not do: panic, or take for ever.

use super::tests::read_all;

/// One fixture per kind of file, dense with what its reader knows.
const FIXTURES: [(&str, &str); 7] = [
    (
        "up.sh",
        "#!/bin/bash\nset -euo pipefail\nD=\"$(cd \"$(dirname \"$0\")\" && pwd)\"\nV=${1:-4.1.5}\nexport N='é milvus'\nA=(--set \"image.all.tag=$V\" -f \"$D/v.yaml\" # why\n)\nif [[ -z $V && x ]]; then A+=(--atomic); elif false; then V=1; else :; fi\ndeploy() { local r=$1; helm upgrade --install \"$r\" zilliztech/milvus \"${A[@]}\" \"$@\" || { echo \"no `date`\"; exit 1; }; }\nfor e in dev prod; do deploy milvus-$e --version ${V#v}; done\ncase $1 in a|b) kubectl set image deploy/milvus-proxy p=milvusdb/milvus:v2;; *) ;; esac\ncat <<-'EOF' > v.yaml\n\ta: $x\n\tEOF\nhelm upgrade m milvus/milvus -f - <<EOF\nimage: {all: {tag: $V}}\nEOF\nbash -c 'helm rollback milvus $((1 + 2))' <<< \"$N\" 2>&1 | tee log &\n./migrate.sh -i m -s 2.1.4 -t 2.2.0\n# guard.milvus-guard.dev/ack: MV201 x\nhelm template m oci://x/milvus:4.1.5 --set-json 'a={\"b\":1}' $'\\t'\n",
    ),
    (
        "Makefile",
        "V ?= 4.1.5 # milvus\nX := $(V)-$(shell date)\nifeq ($(V),1)\nX += y\nendif\ndefine F\nendef\nup: ; helm list\n\t@helm upgrade m milvus/milvus \\\n\t  --version $(V) $$HOME $(call f,$(X)) $@\n",
    ),
    (
        "Jenkinsfile",
        "pipeline { // sh 'x'\n environment { V = '4.1.5' }\n parameters { string(name: 'T', defaultValue: 'v2') }\n stages { stage('milvus') { agent { docker { image 'alpine/helm:3.8.1' } }\n dir(\"a\") { sh(script: \"\"\"helm upgrade m milvus/milvus --version ${V} \\\\\n --set image.all.tag=${params.T} \\$HOME\"\"\", returnStdout: true) }\n sh 'a ' + V + \" helm install \\\"m\\\" milvus/milvus\"\n } } }\n",
    ),
    (
        ".github/workflows/x.yml",
        "on: {push: {}, workflow_dispatch: {inputs: {v: {default: 4.1.5}}}}\nenv: {V: \"4.1.5\"}\njobs:\n  a:\n    runs-on: x\n    strategy: {matrix: {k: [1]}}\n    steps:\n      - uses: azure/setup-helm@v3\n        with: {version: v3.8.0}\n      - run: |\n          helm upgrade milvus milvus/milvus --version ${{ env.V }} \\\n            --set x=${{ inputs.v }}\n        working-directory: é\n      - run: >-\n          helm upgrade\n\n          m milvus/milvus\n      - run: \"helm install m \\\"milvus/milvus\\\" \\n\"\n",
    ),
    (
        ".gitlab-ci.yml",
        "variables: {V: 4.1.5}\ndefault: {image: \"alpine/helm:3.8\"}\n.b: {before_script: [\"cd x\"]}\nup:\n  extends: .b\n  script:\n    - helm upgrade m milvus/milvus --version $V\n    - [\"a\", [\"b\"]]\n  after_script: [c]\n",
    ),
    (
        ".circleci/config.yml",
        "version: 2.1\ncommands:\n  c:\n    parameters: {v: {default: 4.1.5}}\n    steps:\n      - when: {condition: x, steps: [{run: helm upgrade m milvus/milvus --version << parameters.v >>}]}\njobs:\n  a:\n    docker: [{image: x}]\n    steps: [{run: {command: \"helm install m milvus/milvus\", environment: {A: b}}}]\n",
    ),
    ("charts/app/Chart.yaml", "name: app\nversion: 1.0.0\ndependencies: [{name: milvus, version: 4.1.5, repository: x}]\n"),
];

/// Pieces that mean something to one of the readers.
const PIECES: [&str; 40] = [
    "\"",
    "'",
    "`",
    "$(",
    ")",
    "${",
    "}",
    "{{",
    "}}",
    "${{",
    "<<",
    ">>",
    "<<EOF\n",
    "\nEOF\n",
    "\\\n",
    "\\",
    "#",
    "\n",
    "\r\n",
    "\t",
    "(",
    "=(",
    "+=(",
    "[[",
    "]]",
    "((",
    "if ",
    "fi\n",
    "case x in ",
    ";;",
    "done",
    "for a in b; do ",
    "f() {",
    "&&",
    "||",
    "|",
    "$'",
    "helm upgrade m milvus/milvus ",
    "é",
    "\u{e000}",
];

/// A small generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }
}

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or_default()
}

fn mutated(text: &str, random: &mut Random) -> String {
    let mut text = text.to_owned();
    for _ in 0..=random.below(4) {
        let a = boundary(&text, random.below(text.len() + 1));
        let b = boundary(&text, (a + random.below(40)).min(text.len())).max(a);
        match random.below(4) {
            0 => text.replace_range(a..b, ""),
            1 => text.insert_str(a, PIECES[random.below(PIECES.len())]),
            2 => {
                let copy = text[a..b].to_owned();
                let to = boundary(&text, random.below(text.len() + 1));
                text.insert_str(to, &copy);
            }
            _ => text.truncate(a.max(text.len() / 2)),
        }
        if !text.is_char_boundary(0) {
            break;
        }
    }
    text
}

#[test]
fn mutated_files_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut declared = 0;
    for _ in 0..400 {
        let texts: Vec<(&str, String)> = FIXTURES.iter().map(|(path, text)| (*path, mutated(text, &mut random))).collect();
        let files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (*path, text.as_str())).collect();
        declared += read_all(&files).declarations.len();
    }
    // Most of each file is still read.
    assert!(declared > 2_000, "{declared}");
}

#[test]
fn long_files_of_one_piece_are_read_to_their_end() {
    for piece in [
        "\"",
        "'",
        "`",
        "$(",
        "${",
        "${a:-",
        "\"$(",
        "{{",
        "${{ ",
        "<< ",
        "<<EOF\n",
        "<<'E' ",
        "a=(",
        "((",
        "[[ ",
        "{ ",
        "( ",
        "if a; then ",
        "case a in\n",
        ";;",
        "\\\n",
        "f() {\n",
        "for i in 1 2; do\n",
        "a=$a$a\n",
        "helm upgrade $x milvus/milvus --set a=$b,c=d \n",
        "$a ",
        "\"${a[@]}\" ",
        "a+=(b c) ",
        "# x\n",
        "' \"",
        "x=\"$x y\"\n",
        "cat <<E | helm upgrade m milvus/milvus -f -\nE\n",
        "helm repo add a https://b\n",
        "bash -c 'bash -c \"x\"'\n",
        "a | ",
        "helm uninstall m; ",
        "sh '",
        "sh \"\"\"",
        "\t$(a)\n",
        "a = $(a)\n",
        "a: $(b\n",
    ] {
        let text = format!("# milvus helm\nx:\n{}", piece.repeat(20_000 / piece.len()));
        let _ = read_all(&[("a.sh", &text)]);
        let _ = read_all(&[("Makefile", &text)]);
        let _ = read_all(&[("Jenkinsfile", &text)]);
    }
}
