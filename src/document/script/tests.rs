//! Tests of scripts inside other files: what is found, and where it stands.

use super::*;
use crate::document::extract::LineIndex;
use crate::document::shell::{self, Environment, Piece, Resolved, Word};
use crate::document::yaml::{Limits, parse_stream};

struct Found {
    job: String,
    words: Vec<String>,
    /// Line and column of each word.
    places: Vec<(u32, u32)>,
}

fn shown(word: &Word) -> String {
    word.pieces.iter().map(|piece| if let Piece::Text { text, .. } = piece { &**text } else { "?" }).collect()
}

fn run_jobs(path: &str, text: &str) -> Vec<(String, Resolved)> {
    let kind = kind(path, text).expect("a script");
    let documents = parse_stream(text, &Limits::default());
    let mut all = Vec::new();
    for job in jobs(kind, text, &documents) {
        let mut environment = Environment::default();
        for part in &job.parts {
            if let Part::Script(step) = part {
                if step.fresh {
                    environment = Environment::new(&step.outer);
                }
                for command in shell::run(&shell::parse(step.script.text()), &step.script, &mut environment) {
                    all.push((job.name.as_deref().unwrap_or_default().to_owned(), command));
                }
            }
        }
    }
    all
}

fn found(path: &str, text: &str) -> Vec<Found> {
    let lines = LineIndex::new(text);
    run_jobs(path, text)
        .into_iter()
        .map(|(job, command)| Found {
            job,
            words: command.words.iter().map(shown).collect(),
            places: command.words.iter().map(|word| lines.point(word.value_bytes().start)).map(|p| (p.line, p.column)).collect(),
        })
        .collect()
}

#[test]
fn files_are_told_by_name_and_first_line() {
    assert_eq!(kind("a/deploy.sh", ""), Some(Kind::Shell));
    assert_eq!(kind("bin/deploy", "#!/usr/bin/env bash\n"), Some(Kind::Shell));
    assert_eq!(kind("bin/deploy", "#!/usr/bin/env python3\n"), None);
    assert_eq!(kind("Makefile", ""), Some(Kind::Make));
    assert_eq!(kind("ci/Jenkinsfile.prod", ""), Some(Kind::Groovy));
    assert_eq!(kind("a.yaml", "run: x"), Some(Kind::Pipeline));
    assert_eq!(kind("README.md", "helm upgrade"), None);
}

#[test]
fn recipes_are_read_with_the_variables_of_make() {
    let text = "VERSION ?= 4.1.5  # pinned\nNAME := milvus-$(ENV)\nENV = dev\n.PHONY: up\nup: deps\n\t@helm upgrade $(NAME) \\\n\t  --version ${VERSION} $$HOME $(shell date)\ndown:\n\t-helm uninstall $(NAME)\n";
    let all = found("Makefile", text);
    assert_eq!(all[0].job, "up");
    let upgrade = all.iter().find(|f| f.words[0] == "helm").unwrap();
    assert_eq!(upgrade.words[..6], ["helm", "upgrade", "milvus-dev", "--version", "4.1.5", "?"]);
    assert_eq!(upgrade.places[0], (6, 3));
    assert_eq!(upgrade.places[3], (7, 4));
    assert_eq!(upgrade.places[4], (1, 12));
    let down = all.last().unwrap();
    assert_eq!((down.job.as_str(), down.words[1].as_str()), ("down", "uninstall"));
}

#[test]
fn variables_of_make_under_conditions_are_not_guessed() {
    let text = "ifeq ($(X),1)\nV = 1.0.0\nelse\nV = 2.0.0\nendif\nup:\n\thelm $(V) $(call f,x) $@\n";
    assert_eq!(found("Makefile", text)[0].words, ["helm", "?", "?", "?"]);
}

#[test]
fn jenkins_strings_are_scripts() {
    let text = "pipeline {\n  // sh 'no'\n  environment { CHART = '4.1.5' }\n  parameters { string(name: 'TAG', defaultValue: 'v2.4.1') }\n  stages { stage('x') { steps {\n    sh \"helm upgrade m --version ${CHART} \\\"\\$HOME\\\"\"\n    dir('deploy') { sh(returnStdout: true, script: '''\n      helm install \\\\\n        ${TAG}\n    ''') }\n    sh 'a ' + x.y + ' b'\n    sh \"\"\"c ${params.TAG}\"\"\"\n  } } }\n}\n";
    let all = found("Jenkinsfile", text);
    let words: Vec<&[String]> = all.iter().map(|f| f.words.as_slice()).collect();
    assert_eq!(words[0], ["helm", "upgrade", "m", "--version", "4.1.5", "?"]);
    assert_eq!(words[1], ["helm", "install", "v2.4.1"]);
    assert_eq!(words[2], ["a", "?", "b"]);
    assert_eq!(words[3], ["c", "v2.4.1"]);
    assert_eq!(all[0].places[0], (6, 9));
    assert_eq!(all[0].places[4], (3, 26));
    assert_eq!(all[1].places[0], (8, 7));
    let with = found("x.groovy", "withEnv(['A=4.1.5', \"B=${x}\"]) { sh 'helm $A $B' }");
    assert_eq!((with[0].words.join(" "), with[0].places[1]), ("helm 4.1.5 ?".to_owned(), (1, 13)));
}

#[test]
fn github_steps_know_the_environment_of_three_levels() {
    let text = "on: [push]\nenv:\n  V: 4.1.5\njobs:\n  deploy:\n    runs-on: x\n    env: {N: \"mil${{ env.V }}\"}\n    steps:\n      - uses: azure/setup-helm@v3\n        with: {version: v3.8.0}\n      - name: é\n        run: |\n          helm upgrade m \\\n            --version ${{ env.V }}\n          next $N\n        env:\n          X: '1'\n      - run: helm list \"$X\" # c\n      - run: >-\n          helm upgrade\n          --install m\n      - run: Get-X\n        shell: pwsh\n";
    let all = found(".github/workflows/deploy.yml", text);
    let words: Vec<&[String]> = all.iter().map(|f| f.words.as_slice()).collect();
    assert_eq!(words[0], ["helm", "upgrade", "m", "--version", "4.1.5"]);
    assert_eq!(words[1], ["next", "mil4.1.5"]);
    assert_eq!(words[2], ["helm", "list", "?"]);
    assert_eq!(words[3], ["helm", "upgrade", "--install", "m"]);
    assert_eq!(words.len(), 4);
    assert_eq!(all[0].places, [(13, 11), (13, 16), (13, 24), (14, 13), (3, 6)]);
    assert_eq!(all[2].places[1], (18, 19));
    assert_eq!(all[3].places[2], (21, 11));
    let documents = parse_stream(text, &Limits::default());
    let jobs = jobs(Kind::Pipeline, text, &documents);
    assert!(jobs[0].automatic);
    assert!(
        matches!(&jobs[0].parts[0], Part::Action { name, inputs, .. } if name.text == "azure/setup-helm@v3" && inputs[0].1.text().as_deref() == Some("v3.8.0"))
    );
}

#[test]
fn hidden_gitlab_jobs_run_where_others_take_them_over() {
    let all = |text: &str| jobs(Kind::Pipeline, text, &parse_stream(text, &Limits::default()));
    let names = |text: &str| all(text).iter().map(|job| (job.name.clone().unwrap_or_default().to_string(), job.automatic)).collect::<Vec<_>>();
    let up = [("up".to_owned(), true)];
    assert_eq!(names(".deploy: {script: [helm upgrade m milvus/milvus]}\nup: {extends: .deploy}\n"), up);
    assert_eq!(names(".deploy: &deploy\n  script: [helm upgrade m milvus/milvus]\nup:\n  <<: *deploy\n  stage: x\n"), up);
    assert_eq!(names(".lines: &lines\n  - helm upgrade m milvus/milvus\n.deploy: {script: *lines}\nup: {script: [*lines, x]}\n"), up);
    let by_reference = ".deploy:\n  script:\n    - helm upgrade m milvus/milvus\nup:\n  script:\n    - !reference [.deploy, script]\n    - true\n";
    assert_eq!(names(by_reference), up);
    assert_eq!(all(by_reference)[0].parts.len(), 2);
    assert_eq!(names(".deploy: {script: [helm upgrade m milvus/milvus]}\n"), [(".deploy".to_owned(), false)]);
}

#[test]
fn gitlab_jobs_share_a_shell_and_extend_templates() {
    let text = "variables:\n  V: {value: 4.1.5}\n.base:\n  image: {name: \"alpine/helm:3.9\"}\n  before_script:\n    - export N=m\ndeploy:\n  extends: .base\n  script:\n    - helm upgrade $N\n    - |\n      helm list\n      cd x\n    - [\"a $V\", b]\nmanual:\n  when: manual\n  script: helm x\n";
    let all = found(".gitlab-ci.yml", text);
    let words: Vec<&[String]> = all.iter().map(|f| f.words.as_slice()).collect();
    assert_eq!(words[0], ["helm", "upgrade", "m"]);
    assert_eq!(words[3], ["a", "4.1.5"]);
    assert_eq!(words[5], ["helm", "x"]);
    assert_eq!(all[0].places[1], (10, 12));
    assert_eq!(all[1].places[0], (12, 7));
    let documents = parse_stream(text, &Limits::default());
    let jobs = jobs(Kind::Pipeline, text, &documents);
    assert_eq!(jobs.iter().map(|j| j.automatic).collect::<Vec<_>>(), [true, false]);
    assert!(matches!(&jobs[0].parts[0], Part::Image(image) if image.text == "alpine/helm:3.9"));
}

#[test]
fn circleci_runs_and_parameters_are_read() {
    let text = "version: 2.1\njobs:\n  deploy:\n    docker: [{image: alpine/helm:3.8.1}]\n    parameters: {v: {default: 4.1.5}}\n    steps:\n      - checkout\n      - run: helm version\n      - run:\n          name: up\n          environment: {N: m}\n          command: |\n            helm upgrade $N --version << parameters.v >>\n";
    let all = found(".circleci/config.yml", text);
    assert_eq!(all[1].words, ["helm", "upgrade", "m", "--version", "4.1.5"]);
    assert_eq!(all[1].places[0], (13, 13));
}

#[test]
fn scalars_keep_their_places_through_quotes_and_folding() {
    let text = "a: \"x \\\"y\\\" \\n z\"\nb: 'it''s'\nc: p\n  q\nd: >\n  e\n  f\n\n  g\n";
    let root = parse_stream(text, &Limits::default()).remove(0).unwrap().root;
    let get = |key: &str| scalar_extract(text, root.get(key).unwrap()).unwrap();
    assert_eq!(get("a").text(), "x \"y\" \n z");
    assert_eq!(get("b").text(), "it's");
    assert_eq!(get("c").text(), "p q");
    assert_eq!(get("d").text(), "e f\n\ng\n");
    for (key, needle) in [("a", "z"), ("b", "s"), ("c", "q"), ("d", "g")] {
        let extract = get(key);
        let at = extract.source_byte(extract.text().rfind(needle).unwrap());
        assert!(text[at..].starts_with(needle), "{key}");
    }
}

#[test]
fn make_and_pipelines_replace_before_the_shell_reads() {
    let make = found("Makefile", "FLAGS := --set \"a=b c\" --atomic\nup:\n\thelm x $(FLAGS) '$(FLAGS)'\n");
    assert_eq!(make[0].words, ["helm", "x", "--set", "a=b c", "--atomic", "--set \"a=b c\" --atomic"]);
    assert_eq!(make[0].places[3], (1, 17));
    let text = "on: {workflow_dispatch: {inputs: {v: {default: 4.1.5}}}}\nenv: {F: --atomic --wait}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: helm ${{ env.F }} ${{ github.event.inputs.v || '4.2.58' }} ${{ inputs.w || '4.2.58' }} ${{ secrets.x }}\n";
    let workflow = found(".github/workflows/x.yml", text);
    assert_eq!(workflow[0].words, ["helm", "--atomic", "--wait", "4.1.5", "4.2.58", "?"]);
    assert_eq!(workflow[0].places[2], (2, 19));
}
