//! Tests of the shell reader as its users see it: text in, resolved commands out.

use super::*;
use crate::document::extract::{Extract, LineIndex};

fn resolved(text: &str) -> Vec<Resolved> {
    run(&parse(text), &Extract::whole(text), &mut Environment::default())
}

/// Each command as its words, unknown pieces as `?`.
fn commands(text: &str) -> Vec<Vec<String>> {
    resolved(text).iter().map(|command| command.words.iter().map(shown).collect()).collect()
}

fn shown(word: &Word) -> String {
    word.pieces.iter().map(|piece| if let Piece::Text { text, .. } = piece { &**text } else { "?" }).collect()
}

fn one(text: &str) -> Vec<String> {
    let all = commands(text);
    all.last().cloned().unwrap_or_default()
}

/// Line, column and text of where the value of a word of the last command is written.
fn written(text: &str, word: usize) -> (u32, u32, String) {
    let all = resolved(text);
    let bytes = all.last().unwrap().words[word].value_bytes();
    let point = LineIndex::new(text).point(bytes.start);
    (point.line, point.column, text[bytes].to_owned())
}

#[test]
fn words_lose_their_quotes_and_keep_their_places() {
    let text = "é helm \\\n  upgrade 'a b' \"c\\\"d\" $'e\\tf' g\\ h --x=\"y\"z\n";
    assert_eq!(one(text), ["é", "helm", "upgrade", "a b", "c\"d", "e\tf", "g h", "--x=yz"]);
    assert_eq!(written(text, 1), (1, 3, "helm".into()));
    assert_eq!(written(text, 3), (2, 12, "a b".into()));
}

#[test]
fn comments_and_separators_end_commands() {
    let text = "a 1 # no 'quote\nb;c&&d||e|f & g # x\n#h\n";
    assert_eq!(commands(text), [vec!["a", "1"], vec!["b"], vec!["c"], vec!["d"], vec!["e"], vec!["f"], vec!["g"]]);
    assert!(resolved(text)[5].piped);
    assert_eq!(one("a#b #c"), ["a#b"]);
}

#[test]
fn commands_in_blocks_and_substitutions_are_found() {
    let text = "if a; then b; elif c; then d; else e; fi\nwhile f; do g; done\nfor x in 1; do h; done\n(i; j) && { k; }\nl=$(m \"n $(o)\") p\ncase $q in\n r|s) t;;\n *) u ;;\nesac\nv\n";
    let names: Vec<String> = commands(text).into_iter().map(|words| words[0].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "o", "m", "p", "t", "u", "v"]);
}

#[test]
fn variables_of_the_file_are_replaced_and_point_at_where_they_are_set() {
    let text = "V=\"4.1.5\"\nexport W=x$V\nhelm --version $V \"$W\" ${U:-dflt} ${U} '$V'\n";
    assert_eq!(one(text), ["helm", "--version", "4.1.5", "x4.1.5", "dflt", "?", "$V"]);
    assert_eq!(written(text, 2), (1, 4, "4.1.5".into()));
    assert_eq!(written(text, 4), (3, 29, "dflt".into()));
}

#[test]
fn arrays_become_words_at_the_place_of_their_items() {
    let text = "A=(upgrade # why\n  --version 4.1.5\n)\nA+=(-f \"a b.yaml\")\nhelm \"${A[@]}\" x\n";
    assert_eq!(one(text), ["helm", "upgrade", "--version", "4.1.5", "-f", "a b.yaml", "x"]);
    assert_eq!(written(text, 3), (2, 13, "4.1.5".into()));
    assert_eq!(one("cmd=(helm up)\n\"${cmd[@]}\" z"), ["helm", "up", "z"]);
}

#[test]
fn unquoted_variables_are_split_into_words() {
    let text = "ARGS='--atomic  --set a=b'\nhelm x $ARGS \"$ARGS\" --y=$ARGS\n";
    assert_eq!(one(text), ["helm", "x", "--atomic", "--set", "a=b", "--atomic  --set a=b", "--y=--atomic", "--set", "a=b"]);
    assert_eq!(written(text, 4), (1, 23, "a=b".into()));
    let unknown = resolved("helm $X \"$Y\" --z=$Z");
    let elastic: Vec<bool> = unknown[0].words.iter().map(|word| word.elastic).collect();
    assert_eq!(elastic, [false, true, false, false]);
}

#[test]
fn what_depends_on_a_condition_is_not_guessed() {
    assert_eq!(one("if a; then V=1; else V=2; fi\nh $V"), ["h", "?"]);
    assert_eq!(one("if a; then V=1; else V=1; fi\nh $V"), ["h", "1"]);
    assert_eq!(one("V=1\nif a; then V=2; fi\nh $V"), ["h", "?"]);
    assert_eq!(one("if [ -z $V ]; then V=1; fi\nh $V"), ["h", "1"]);
    assert_eq!(one("V=$1\nif [ -z $V ]; then V=1; fi\nh $V"), ["h", "1"]);
    assert_eq!(one("V=$(date)\nif a; then V=1; fi\nh $V"), ["h", "?"]);
    assert_eq!(one("case $1 in a) V=1;; b) V=2;; esac; h $V"), ["h", "?"]);
    assert_eq!(one("V=0; (V=1); h $V"), ["h", "0"]);
    assert_eq!(one("A=(x)\nif a; then A+=(y); fi\nh \"${A[@]}\""), ["h", "x", "?"]);
    assert_eq!(one("V=1; [ a ] && V=2; h $V"), ["h", "?"]);
    assert_eq!(one("cd a && V=2 && h $V"), ["h", "2"]);
    assert_eq!(one("read V; h $V"), ["h", "?"]);
}

#[test]
fn functions_are_followed_where_they_are_called() {
    let text =
        "deploy() {\n  local v=\"$2\"\n  helm upgrade \"$1\" --version \"$v\"\n}\nrun() { \"$@\"; }\ndeploy m 4.1.5\nrun helm list\nnever() { x \"$1\"; }\n";
    assert_eq!(commands(text), [vec!["helm", "upgrade", "m", "--version", "4.1.5"], vec!["helm", "list"], vec!["x", "?"]]);
    assert_eq!(written("f() { h $1; }\nf 'v 1'", 1), (2, 4, "v".into()));
    assert_eq!(one("f() { n=$1; shift; \"$@\" $1; }\nf 3 helm list"), ["helm", "list", "helm"]);
    assert_eq!(one("f() { shift 2; g \"$1\"; }\nf a b c"), ["g", "c"]);
    assert_eq!(one("shift; g $1 \"$@\""), ["g", "?", "?"]);
    assert!(commands("f() { f; f; }\nf").len() < 10);
    assert_eq!(one("function g { h; }\ng"), ["h"]);
}

#[test]
fn loops_over_known_values_are_unrolled() {
    assert_eq!(commands("for e in dev prod; do h $e; done"), [vec!["h", "dev"], vec!["h", "prod"]]);
    assert_eq!(one("for e in $(ls); do h $e; done"), ["h", "?"]);
    assert_eq!(one("for f in *.yaml; do h $f; done"), ["h", "?"]);
}

#[test]
fn here_documents_are_bodies_and_not_commands() {
    let text = "T=v1\ncat <<EOF | kubectl apply -f -\nhelm upgrade x\ntag: $T \\$T $(date) ${U:-d}\nEOF\ncat <<'E' > f\n$T\nE\nnext\n";
    let all = resolved(text);
    let names: Vec<String> = all.iter().map(|c| shown(&c.words[0])).collect();
    assert_eq!(names, ["cat", "kubectl", "cat", "next"]);
    let ResolvedRedirect::Heredoc(body) = &all[0].redirects[0] else { panic!("no here-document") };
    assert_eq!(body.text(), "helm upgrade x\ntag: v1 $T ${unknown} d\n");
    let at = body.text().find("v1").unwrap();
    assert_eq!(LineIndex::new(text).point(body.source_byte(at)).line, 1);
    let ResolvedRedirect::Heredoc(literal) = &all[2].redirects[0] else { panic!("no here-document") };
    assert_eq!(literal.text(), "$T\n");
    assert_eq!(one("cat <<-E\n\ta: 1\n\tE\nb"), ["b"]);
    assert_eq!(one("x=$(cat <<E\nfoo\nE\n)\nb"), ["b"]);
    assert_eq!(one("a <<< \"$x\" 2>&1 >/dev/null\nb 2> c"), ["b"]);
}

#[test]
fn templates_are_parts_that_the_environment_may_know() {
    let text = "helm --version ${{ env.V }} -n {{ ns }} '{{ x }}' << parameters.y >> ${params.P} \"a${{ b }}c\"\n";
    let mut outer = Outer::default();
    outer.set_template("env.V", Value::known("4.1.5", 0..0));
    let mut environment = Environment::new(&Arc::new(outer));
    let all = run(&parse(text), &Extract::whole(text), &mut environment);
    let words: Vec<String> = all[0].words.iter().map(shown).collect();
    assert_eq!(words, ["helm", "--version", "4.1.5", "-n", "?", "?", "?", "?", "a?c"]);
}

#[test]
fn folders_are_followed() {
    let folder = |text: &str| resolved(text).last().unwrap().folder.as_ref().map(|value| value.text());
    assert_eq!(folder("cd a && cd b && h"), Some(Some("a/b".into())));
    assert_eq!(folder("(cd a; x); h"), None);
    assert_eq!(folder("cd \"$(dirname \"$0\")/..\"\nh"), Some(Some(format!("{SCRIPT_FOLDER}/.."))));
    assert_eq!(one("D=$(cd \"$(dirname \"${BASH_SOURCE[0]}\")\" && pwd)\nh $D/v.yaml"), ["h".to_owned(), format!("{SCRIPT_FOLDER}/v.yaml")]);
}

#[test]
fn a_broken_script_costs_only_what_is_broken() {
    for broken in [
        "echo \"oops",
        "echo 'oops",
        "x=$(oops",
        "A=(oops",
        "cat <<EOF",
        "case x in",
        "if x",
        "fi; done; esac; }",
        "echo ${oops",
        "a `b",
        ")",
        "foo() {",
        "[[ a",
        "(( a",
    ] {
        let text = format!("first \"x\"\n{broken}\nhelm upgrade \"m\" --set 'a=b' \"${{V:-4.1}}\"\nlast \"z\"\n");
        let all = commands(&text);
        assert!(all.iter().any(|words| words.starts_with(&["helm".into(), "upgrade".into(), "m".into()])), "{broken}: {all:?}");
    }
    assert!(!parse("echo \"oops\nnext").broken.is_empty());
}

#[test]
fn line_ends_of_windows_and_blanks_after_a_backslash_are_taken() {
    assert_eq!(commands("helm a \\\r\n  b\r\nc\r\n"), [vec!["helm", "a", "b"], vec!["c"]]);
    assert_eq!(one("helm a \\  \n  b\n"), ["helm", "a", "b"]);
}

#[test]
fn expansion_is_bounded() {
    let mut text = String::from("A=xxxxxxxxxx\n");
    for _ in 0..64 {
        text.push_str("A=\"$A$A\"\n");
    }
    text.push_str("h \"$A\"\n");
    assert!(one(&text)[1].starts_with('?'));
    let nested = format!("{}x{}", "$(".repeat(2000), ")".repeat(2000));
    let _ = commands(&nested);
    let blocks = "{ ( if ".repeat(2000);
    let _ = commands(&blocks);
    let loops = "for a in 1 2 3 4 5 6 7 8 9; do ".repeat(30);
    assert!(commands(&format!("{loops} x")).len() < 100_000);
}
